"""Calls of instructions as the source's wrappers of the card's assembler."""

from __future__ import annotations

from ...errors import UnsupportedError
from ...expr import INDEX, Apply, Const, Expr, Var, apply, index, select
from ...tile.instructions import INSTRUCTIONS
from ...tile.nodes import Call
from ...tile.warps import lane_row
from .expressions import Expressions

LANE = "lane#"  # stands for the lane of a thread in its warp; no axis is called so


def write_call(call: Call, write: Expressions) -> str:
    """The statement for a call of an instruction."""
    if call.callee.startswith("copy_"):
        return _copy(call, write)
    if call.callee.startswith("mma_"):
        places = ", ".join(f"&{write.place(part.buffer, part.offsets)}" for part in call.windows)
        return f"{call.callee}({places});"
    for side in ("left", "right"):
        if call.callee.startswith(f"load_{side}_"):
            return _load(call, side, write)
    raise UnsupportedError(f"the CUDA backend has no instruction '{call.callee}'")


def _load(call: Call, side: str, write: Expressions) -> str:
    """Matrices of a fragment: each lane gives the place of one of their rows."""
    to, source = call.windows
    turned = call.callee.endswith("_turned")
    row, column = lane_row(side, Var(INDEX, LANE), turned=turned)
    *outer, first, second = source.offsets
    place = write.place(source.buffer, (*outer, first + row, second + column))
    name = "load_matrices_turned" if turned else "load_matrices"
    return f"{name}(&{write.place(to.buffer, to.offsets)}, &{place});"


def _copy(call: Call, write: Expressions) -> str:
    to, source = call.windows
    element = INSTRUCTIONS[call.callee].params[0]
    size = element.elements * element.dtype.bytes
    (valid,) = call.scalars
    places = (f"&{write.place(window.buffer, window.offsets)}" for window in (to, source))
    return f"cp_async_{size}({', '.join(places)}, {write(_times(valid, element.dtype.bytes))});"


def _times(count: Expr, size: int) -> Expr:
    """So many bytes for so many elements."""
    match count:
        case Const(value=value):
            return index(int(value) * size)
        case Apply(function="select", args=(condition, then, otherwise)):
            return select(condition, _times(then, size), _times(otherwise, size))
    return apply("mul", count, index(size))
