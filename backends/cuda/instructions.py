"""Calls of instructions as the source's wrappers of the card's assembler."""

from __future__ import annotations

from ...errors import UnsupportedError
from ...expr import Apply, Const, Expr, apply, index, select
from ...tile.instructions import INSTRUCTIONS
from ...tile.nodes import Call
from .expressions import Expressions


def write_call(call: Call, write: Expressions) -> str:
    """The statement for a call of an instruction."""
    if call.callee.startswith("copy_"):
        return _copy(call, write)
    raise UnsupportedError(f"the CUDA backend has no instruction '{call.callee}'")


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
