"""Calls of instructions as the source's wrappers of the card's assembler."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from ....errors import UnsupportedError
from ....expr import INDEX, Apply, Const, Expr, Var, apply, index, select
from ....tile.instructions.barriers import ARRIVE_WARPS, FENCE, INIT
from ....tile.instructions.copies import SIZES
from ....tile.instructions.table import INSTRUCTIONS
from ....tile.instructions.warpgroups import FEWER, MORE, SETTLED, registers_name
from ....tile.instructions.warps import (
    LANES_OF,
    MAXIMA,
    MULTIPLIED,
    NARROW,
    POWERS,
    QUAD_MAXIMA,
    RISING,
    RUNS,
    any_rises_name,
    lane_row,
    mma_name,
    narrow_name,
    of_threads,
    row_sums_name,
    runs_name,
)
from ....tile.nodes import Call, Space
from .asynchronous import PRODUCT
from .c_names import elements_of_register, is_packed
from .expressions import Expressions
from .operators import ROUNDINGS
from .tensor_maps import check_boxes

EVERY_LANE = "0xffffffffu"  # of a warp, as a mask

# Their wrappers take what they take.
_PLAIN = (INIT, ARRIVE_WARPS, FENCE, SETTLED, *map(registers_name, (*FEWER, *MORE)))
LANE = "lane#"  # stands for the lane of a thread in its warp; no axis is called so

# The wrappers of instructions that take a lane's own registers of each fragment.
_ON_REGISTERS: Mapping[str, str] = {
    **{name: name for name in (*map(mma_name, MULTIPLIED), *map(row_sums_name, NARROW))},
    **{
        of_threads(name, threads): name
        for name in (MAXIMA, QUAD_MAXIMA, POWERS, *map(narrow_name, NARROW))
        for threads in LANES_OF
    },
    **{
        any_rises_name(rows, columns): f"any_rises<{rows}, {columns}>" for rows, columns in RISING
    },
    **{
        runs_name(width, threads): f"quad_runs<{width // 2}>"
        for width, threads in product(RUNS, LANES_OF)
    },
}


def write_call(call: Call, write: Expressions) -> str:
    """The statement for a call of an instruction."""
    if call.callee.startswith("copy_"):
        return _copy(call, write)
    if call.callee in _ON_REGISTERS:
        places = ", ".join(f"&{write.place(part.buffer, part.offsets)}" for part in call.windows)
        return f"{_ON_REGISTERS[call.callee]}({places});"
    if call.callee.startswith("shuffle_"):
        to, source = (write.place(part.buffer, part.offsets) for part in call.windows)
        return f"{to} = __shfl_xor_sync({EVERY_LANE}, {source}, {write(call.scalars[0])});"
    if call.callee.startswith(PRODUCT):
        return _product(call, write)
    if call.callee in _PLAIN:
        given = [f"&{write.place(part.buffer, part.offsets)}" for part in call.windows]
        return f"{call.callee}({', '.join((*given, *map(write, call.scalars)))});"
    for side in ("left", "right"):
        if call.callee.startswith(f"load_{side}_"):
            return _load(call, side, write)
    for verb in ("load", "store"):
        if call.callee.startswith(f"{verb}_"):
            return _wide(call, verb, write)
    raise UnsupportedError(f"the CUDA backend has no instruction '{call.callee}'")


def write_box(call: Call, write: Expressions, map_: str, barrier: str) -> str:
    """The statement for a copy of a box, by its tensor map, that arrives at a barrier."""
    to, source = call.windows
    check_boxes(write.buffers[to.buffer])
    at = ", ".join(write(part) for part in reversed(source.offsets))
    place = write.place(to.buffer, to.offsets)
    return f"bulk_{len(source.offsets)}d(&{place}, &{map_}, {at}, {barrier});"


def _product(call: Call, write: Expressions) -> str:
    """A product of a warpgroup, whose matrices are told by where they begin and by the bytes from
    one box to the next along their rows.

    After PTX ISA, "Strides" of wgmma: in the swizzle of 128 bytes the leading dimension's offset is
    from one 128 bytes of rows (or columns) to the next where these are neighbours, and not used
    where terms are; the stride dimension's is from eight lines of 128 bytes to the next eight,
    which boxes have behind each other. A product may begin within a row of terms, as chunks change
    places by the bits of their addresses.
    """
    sums, *factors = call.windows
    places = [f"&{write.place(sums.buffer, sums.offsets)}"]
    for window in factors:
        buffer = write.buffers[window.buffer]
        if buffer.space is Space.FRAGMENT:
            places.append(f"&{write.place(window.buffer, window.offsets)}")
            continue
        check_boxes(buffer)
        step = buffer.strides[1] * buffer.dtype.bytes
        first = write.element(window.buffer, window.offsets)
        places.append(f"swizzled_matrix({write.names[window.buffer]}, {first}, {step})")
    return f"{call.callee}({', '.join(places)});"


def _load(call: Call, side: str, write: Expressions) -> str:
    """Matrices of a fragment: each lane gives the place of one of their rows."""
    to, source = call.windows
    turned = call.callee.endswith("_turned")
    dtype = write.buffers[to.buffer].dtype
    row, column = lane_row(side, dtype, Var(INDEX, LANE), turned=turned)
    *outer, first, second = source.offsets
    place = write.place(source.buffer, (*outer, first + row, second + column))
    name = "load_matrices_turned" if turned else "load_matrices"
    if not is_packed(write.buffers[to.buffer]):
        name = f"{name}_{dtype}"
    return f"{name}(&{write.place(to.buffer, to.offsets)}, &{place});"


def _wide(call: Call, verb: str, write: Expressions) -> str:
    """Neighbours in memory read or written at once, by a thread or by each lane."""
    to, source = call.windows
    memory, register = (source, to) if verb == "load" else (to, source)
    buffer = write.buffers[register.buffer]
    width = INSTRUCTIONS[call.callee].params[0].elements
    place = f"&{write.place(memory.buffer, memory.offsets)}"
    converts = buffer.dtype.name in ROUNDINGS and not write.holds_bits(buffer)
    kind = buffer.dtype.name if converts else "neighbours"
    if is_packed(buffer):
        constant = "const " if verb == "load" else ""
        per = elements_of_register(buffer)
        half = " short" if per * buffer.dtype.bytes == 2 else ""
        kind, place = "neighbours", f"({constant}unsigned{half}*){place}"
        width //= per
    value = f"&{write.place(register.buffer, register.offsets)}"
    given = f"{value}, {place}" if verb == "load" else f"{place}, {value}"
    return f"{verb}_{kind}<{width}>({given});"


def _copy(call: Call, write: Expressions) -> str:
    to, source = call.windows
    element = INSTRUCTIONS[call.callee].params[0]
    size = element.elements * element.dtype.bytes
    (valid,) = call.scalars
    from_afar = size == SIZES[-1]  # of less there are more, whose addresses take registers
    places = (
        f"&{write.place(to.buffer, to.offsets)}",
        f"&{write.place(source.buffer, source.offsets, from_afar=from_afar)}",
    )
    return f"cp_async_{size}({', '.join(places)}, {write(_times(valid, element.dtype.bytes))});"


def _times(count: Expr, size: int) -> Expr:
    """So many bytes for so many elements."""
    match count:
        case Const(value=value):
            return index(int(value) * size)
        case Apply(function="select", args=(condition, then, otherwise)):
            return select(condition, _times(then, size), _times(otherwise, size))
    return apply("mul", count, index(size))
