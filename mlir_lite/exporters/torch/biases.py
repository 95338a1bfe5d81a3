"""A bias, which torch's products and convolutions add by themselves.

%1 = matmul %x, %w;  %2 = broadcast %b;  %3 = add %1, %2   ->   linear(x, w.T, b)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from ...ir import Op, Value
from ...ops.base.broadcast import Broadcast
from ...ops.elementwise.arithmetic import Add
from ...ops.products.matmul import Matmul
from ...ops.shapes.shape import Reshape
from ...ops.windows.conv import Conv
from ...ops.windows.windows import LAYOUTS
from .contractions import convolved
from .site import Call, Site, Tensor


def _add(site: Site, op: Add, lhs: Tensor, rhs: Tensor) -> Tensor:
    for product, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        found = _vector_of(other)
        if found is not None and op.lhs.dtype.is_float and site.uses[product] == 1:
            biased = _with_bias(site, product, *found)
            if biased is not None:
                return biased
    return torch.add(lhs, rhs)


def _with_bias(site: Site, product: Value, bias: Value, axis: int) -> Tensor | None:
    """The product with a bias along an axis, if torch has a call for it."""
    match product.op:
        case Matmul(lhs=x, rhs=weight, factors="f32") if (
            weight.rank == 2 and axis == product.rank - 1
        ):
            turned = torch.transpose(site.values[weight], 0, 1)
            return F.linear(site.values[x], turned, site.values[bias])
        case Conv(x=x, weight=weight) as conv if axis == LAYOUTS[conv.layout][1] % product.rank:
            return convolved(conv, site.values[x], site.values[weight], site.values[bias])
    return None


def _vector_of(value: Value) -> tuple[Value, int] | None:
    """The vector that a value repeats along all axes but one, and that axis."""
    if not isinstance(value.op, Broadcast):
        return None
    laid = value.op.x
    if laid.rank == 1:
        return (laid, value.rank - 1) if laid.shape[0] == value.shape[-1] else None
    if not isinstance(laid.op, Reshape) or laid.op.x.rank != 1:
        return None
    along = [axis for axis, size in enumerate(laid.shape) if size != 1]
    return (laid.op.x, value.rank - laid.rank + along[0]) if len(along) == 1 else None


CALLS: Mapping[type[Op], Call] = {Add: _add}
