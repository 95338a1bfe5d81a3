"""Copies of a whole box of an array into shared memory, by the card's own engine while its threads
go on; what of the box lies outside of the array becomes zero.

    async tiles { call @bulk_bf16x64(left[s, 0, 0], x[m, k]; m, 100, k, 70) ... }

A box has several sides where its rows are places of an image, and some `steps` between them where
only every second of these is wanted. Each axis is told by where the box begins, which may be before
the first element, and by how many there are.

    async tiles { call @bulk_bf16x2x8x4_by1x2x2(left[s, 0, 0], x[b, h * 2 - 1, w * 2 - 1, c];
                                                b, 5, h * 2 - 1, 14, w * 2 - 1, 14, c, 72) ... }

Rows of a box have 128 bytes, whose chunks of sixteen change places by the row, so that warpgroups
read them without conflicts of banks: the layout of the tiles says so. Of f32 the engine rounds what
it copies to TF32, halves to even, infinities and NaN left alone (a tensor map of the type
CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 asks for that; CUTLASS and Triton build on it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod

from ...expr import INDEX, Expr, Load, Var, all_of, apply, const, index, select
from ...types import DType, f32
from ..nodes import Block, Buffer, Call, Kind, Layout, Loop, Proc, Ref, Store, Window
from .warps import MULTIPLIED, factor_name

BULK = "bulk_"  # what the names of copies of boxes begin with
ROW_BYTES = 128  # of a box
CHUNK_BYTES = 16
BOX_ALIGNMENT = 8 * ROW_BYTES  # of tiles: chunks change places by the bits of their addresses
BOX_ROWS = (64, 128, 256)
MOST_AXES = 5  # of an array that the engine knows
MOST_PLACES = 256  # of an axis that a box spans
MOST_STEP = 8  # from one of them to the next

_COUNTS = r"(\d+(?:x\d+)*)"
_NAME = re.compile(rf"{BULK}([a-z0-9]+?)x{_COUNTS}(?:_by{_COUNTS})?")


def box_columns(dtype: DType) -> int:
    """Elements in a row of a box."""
    return ROW_BYTES // dtype.bytes


@dataclass(frozen=True)
class Box:
    """A box of an array's last axes: so many places along each of the `sides`, outermost first,
    that are some `steps` apart (none given: one), and of the innermost axis 128 bytes."""

    dtype: DType
    sides: tuple[int, ...]
    steps: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        return prod(self.sides)

    @property
    def columns(self) -> int:
        return box_columns(self.dtype)

    @property
    def axes(self) -> tuple[tuple[int, int], ...]:
        """Places and steps of each axis, the innermost last."""
        steps = self.steps or (1,) * len(self.sides)
        return (*zip(self.sides, steps, strict=True), (self.columns, 1))

    @property
    def name(self) -> str:
        """The instruction that copies it."""
        sides, steps = ("x".join(map(str, each)) for each in (self.sides, self.steps))
        apart = f"_by{steps}" if any(step != 1 for step in self.steps) else ""
        return f"{BULK}{factor_name(self.dtype)}x{sides}{apart}"

    def call(self, to: Window, source: Window, shape: Sequence[int]) -> Call:
        """The copy of one, from places of an array of this shape on."""
        first = len(shape) - len(self.axes)
        told = zip(source.offsets[first:], map(index, shape[first:]), strict=True)
        return Call(self.name, (to, source), tuple(part for pair in told for part in pair))

    @property
    def proc(self) -> Proc:
        """`to[i, j] = from[i, j]`, rounded if it is f32, but zero where it is not in the array."""
        axes = [Var(INDEX, f"i{axis}") for axis in range(len(self.axes))]
        scalars: list[str] = []
        conditions: list[Expr] = []
        places: list[Expr] = []
        row: Expr = index(0)
        for number, (axis, (side, step)) in enumerate(zip(axes, self.axes, strict=True)):
            first, extent = f"first{number}", f"extent{number}"
            scalars += (first, extent)
            place = Var(INDEX, first) + axis * step
            conditions += (place >= 0, place < Var(INDEX, extent))
            places.append(axis * step)
            if number < len(self.sides):
                row = row * side + axis
        element: Expr = Load(self.dtype, "from", tuple(places))
        if self.dtype == f32:
            element = apply("tf32_even", element)
        value = select(all_of(*conditions), element, const(0, self.dtype))
        body: Block = (Store(Ref("to", (row, axes[-1])), value),)
        for axis, (side, _) in reversed(list(zip(axes, self.axes, strict=True))):
            body = (Loop(axis.name, index(0), index(side), body, Kind.UNROLL),)
        spans = tuple((side - 1) * step + 1 for side, step in self.axes)
        params = (
            Buffer("to", self.dtype, (self.rows, self.columns)),
            Buffer("from", self.dtype, spans),
        )
        return Proc(self.name, params, tuple(scalars), body)


@cache
def box_named(name: str) -> Box | None:
    """The box that an instruction copies; None where it copies none."""
    found = _NAME.fullmatch(name)
    dtypes = {factor_name(dtype): dtype for dtype in MULTIPLIED}
    if found is None or found[1] not in dtypes:
        return None
    sides, steps = (
        tuple(map(int, part.split("x"))) if part else () for part in (found[2], found[3])
    )
    return Box(dtypes[found[1]], sides, steps)


def boxes() -> Iterator[Box]:
    """Boxes of rows that lie side by side; those of other sides are known by their names."""
    for dtype, rows in product(MULTIPLIED, BOX_ROWS):
        yield Box(dtype, (rows,))


def box_layout(shape: tuple[int, ...], dtype: DType) -> Layout:
    """Where the elements of tiles `[stage, row, column]` lie that come as boxes side by side."""
    stages, rows, columns = shape
    width, chunk = box_columns(dtype), CHUNK_BYTES // dtype.bytes
    stage, row, column = (Var(INDEX, f"{name}#") for name in ("stage", "row", "column"))
    place = column % width
    turned = apply("xor", place // chunk, row % (ROW_BYTES // CHUNK_BYTES)) * chunk + place % chunk
    return Layout(
        ("stage#", "row#", "column#"),
        (stage, column // width, row, turned),
        (stages, columns // width, rows, width),
    )
