"""Reductions over axes, and what is found along one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ...errors import UnsupportedError, check
from ...ir import Op
from ...ops.reductions import reduce
from ...ops.reductions.extreme import Argmax, Argmin
from ...ops.reductions.statistics import Logsumexp, Var
from ...types import bool_
from .arrays import TORCH_TYPES
from .site import Call, Tensor, with_op


def _over_axes(function: Callable[..., Tensor]) -> Call:
    """The call of a reduction that takes several axes; over none it is the operand itself."""

    def call(op: reduce.AxesOp, x: Tensor) -> Tensor:
        return function(x, op.axes, keepdim=op.keepdims) if op.axes else x

    return with_op(call)


def _extreme(function: Callable[..., Tensor]) -> Call:
    """The call of the largest or least element; of none torch has no value."""

    def call(op: reduce.AxesOp, x: Tensor) -> Tensor:
        some = all(op.x.type.static_shape[axis] for axis in op.axes)
        check(some, f"{op.name} of no elements", UnsupportedError)
        return function(x, op.axes, keepdim=op.keepdims) if op.axes else x

    return with_op(call)


def _sum(op: reduce.Sum, x: Tensor) -> Tensor:
    if not op.axes:
        return x
    return torch.sum(x, op.axes, keepdim=op.keepdims, dtype=TORCH_TYPES[op.infer().dtype])


def _prod(op: reduce.Prod, x: Tensor) -> Tensor:
    """One axis at a time, the last first, so that the others keep their places."""
    for axis in sorted(op.axes, reverse=True):
        x = torch.prod(x, axis, keepdim=op.keepdims, dtype=TORCH_TYPES[op.x.dtype])
    return x


def _var(op: Var, x: Tensor) -> Tensor:
    return torch.var(x, op.axes, correction=op.correction, keepdim=op.keepdims)


def _place_of_extreme(op: Argmax | Argmin, x: Tensor) -> Tensor:
    search = torch.argmax if isinstance(op, Argmax) else torch.argmin
    x = x.to(torch.uint8) if op.x.dtype == bool_ else x
    if not op.select_last_index:
        return search(x, op.axis, keepdim=op.keepdims)
    last = op.x.type.static_shape[op.axis] - 1
    return last - search(torch.flip(x, [op.axis]), op.axis, keepdim=op.keepdims)


CALLS: Mapping[type[Op], Call] = {
    reduce.Sum: with_op(_sum),
    reduce.Prod: with_op(_prod),
    reduce.Max: _extreme(torch.amax),
    reduce.Min: _extreme(torch.amin),
    reduce.Any_: _over_axes(torch.any),
    reduce.All: _over_axes(torch.all),
    reduce.Mean: _over_axes(torch.mean),
    Logsumexp: _over_axes(torch.logsumexp),
    Var: with_op(_var),
    Argmax: with_op(_place_of_extreme),
    Argmin: with_op(_place_of_extreme),
}
