"""From a function to a program of torch.

%0 = matmul %x, %w : tensor<64x10xf32>        matmul = torch.matmul(x, w)
%1 = relu %0 : tensor<64x10xf32>         ->   relu = torch.relu(matmul)
return %1                                     return (relu,)
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from ...errors import UnsupportedError
from ...ir import Function, Node, Op, Value
from ...location import UNKNOWN
from ...ops.regions.group import ungrouped
from ...ops.table import TABLE
from ...passes.decompose import decompose
from . import (
    attention,
    biases,
    contractions,
    control,
    elementwise,
    linear_algebra,
    movement,
    networks,
    reductions,
    windows,
)
from .site import Call, Site, Tensor, Tensors

_ROOMS = (
    elementwise, movement, reductions, networks, contractions, attention, windows, linear_algebra,
    control, biases,
)  # fmt: skip
CALLS: Mapping[type[Op], Call] = {cls: call for room in _ROOMS for cls, call in room.CALLS.items()}


def program_of(fn: Function, device: str) -> fx.GraphModule:
    """The function as a module of torch; see `to_torch`."""
    missing: dict[str, None] = {}
    program = _exported(fn, device, missing)
    if missing:
        raise UnsupportedError(f"torch has nothing for these of @{fn.name}: {', '.join(missing)}")
    return program


def _exported(fn: Function, device: str, missing: dict[str, None]) -> fx.GraphModule:
    """The program, or what of it there is; what torch has not is noted."""
    site = Site(device, lambda inner: _exported(inner, device, missing))
    known = [cls.name for cls in CALLS]
    plain = decompose(ungrouped(fn, TABLE), keep=known)
    site.uses.update(plain.results)
    for node in plain.nodes:
        site.uses.update(node.op.operands)
    site.values.update(zip(plain.params, site.params(plain.params), strict=True))
    for node in plain.nodes:
        try:
            made = _call(site, node)
        except UnsupportedError as error:
            missing[_with_place(str(error), node)] = None
            made = site.params(node.results)  # in its place, to find what else is missing
        site.values.update(zip(node.results, made, strict=True))
    return site.finish(fn.name, [_own(site.values[result], result) for result in plain.results])


def _own(tensor: Tensor, value: Value) -> Tensor:
    """A result as ours are, in row-major order: where torch may have given a view, which would
    leave the work to whoever reads it."""
    op = value.op
    if op is None:
        return tensor
    viewed = type(op) in movement.CALLS or op.attributes.get("layout", "nchw") != "nchw"
    return tensor.contiguous() if viewed else tensor


def _call(site: Site, node: Node) -> Tensors:
    """The results of a node, by the calls that its operation has."""
    op = node.op
    if type(op) not in CALLS:
        raise UnsupportedError(op.name)
    made = CALLS[type(op)](site, op, *op.arguments(site.values))
    if isinstance(op.infer(), tuple):
        return tuple(made[place] for place in range(len(node.results)))
    return (made,)


def _with_place(what: str, node: Node) -> str:
    return what if node.location == UNKNOWN else f"{what} ({node.location})"
