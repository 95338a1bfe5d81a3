"""What the card's copy engine is told of an array: a tensor map, 128 bytes that the driver makes of
the array's place, its sizes and those of a box. Kernels take them after their pointers.

The driver's own documentation of cuTensorMapEncodeTiled asks for places and strides that are
multiples of 16 bytes, boxes of at most 256 elements along an axis, and innermost of at most as many
bytes as are swizzled; what is at hand in a map (`steps` of one) starts from its innermost axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from ....errors import UnsupportedError, check
from ....expr.simplify import linear
from ....tile.instructions.bulk import BOX_ALIGNMENT, ROW_BYTES, box_layout
from ....tile.instructions.table import INSTRUCTIONS
from ....tile.nodes import Block, Buffer, Call
from ....tile.traverse import walk
from ....types import DType

BULK = "bulk_"  # what the names of copies of boxes begin with

# As cuda.h numbers them: f16, bf16, and f32 that is rounded to TF32 on its way. All else that it
# asks for is 0 here: nothing interleaved, zeros outside.
_DTYPES: Mapping[str, int] = {"f16": 6, "bf16": 9, "f32": 11}
SWIZZLE_128_BYTES = 3
PROMOTE_TO_256_BYTES = 3


@dataclass(frozen=True)
class TensorMap:
    """A parameter of a kernel, by its place, and the box that is copied of it at once, as
    cuTensorMapEncodeTiled takes them: the innermost axis first. Rows of 128 bytes are swizzled."""

    param: int
    dtype: DType
    sizes: tuple[int, ...]
    box: tuple[int, ...]

    @property
    def name(self) -> str:
        """What tells the maps of one parameter apart."""
        return "x".join(str(size) for size in reversed(self.box) if size > 1)

    @property
    def element(self) -> int:
        """The driver's number for the type of the elements."""
        return _DTYPES[self.dtype.name]

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along every axis but the first."""
        return tuple(accumulate(self.sizes[:-1], mul, initial=self.dtype.bytes))[1:]


def map_of(call: Call, params: tuple[Buffer, ...]) -> TensorMap:
    """The map that a copy of a box needs. `UnsupportedError` where the engine would copy something
    else than the call says."""
    source = call.windows[1]
    names = [param.name for param in params]
    check(source.buffer in names, f"'{call.callee}' copies no parameter", UnsupportedError)
    place = names.index(source.buffer)
    array, (high, *between, wide) = params[place], INSTRUCTIONS[call.callee].params[1].shape
    for left, axis in zip(call.scalars, (-2 - len(between), -1), strict=True):
        ends = linear(left + source.offsets[axis]).items()
        exact = {term: count for term, count in ends if count} == {None: array.shape[axis]}
        check(exact, f"'{call.callee}' ends elsewhere than '{array.name}' does", UnsupportedError)
    plain = array.layout is None and wide * array.dtype.bytes == ROW_BYTES
    check(plain, f"no tensor map is like the layout of '{array.name}'", UnsupportedError)
    outer = (1 for _ in array.shape[len(between) + 2 :])
    box = (wide, *between, high, *outer)
    return TensorMap(place, array.dtype, array.shape[::-1], box)


def maps_of(body: Block, params: tuple[Buffer, ...]) -> tuple[TensorMap, ...]:
    """Every map that the copies in a body need."""
    calls = (stmt for stmt in walk(body) if isinstance(stmt, Call))
    maps = [map_of(call, params) for call in calls if call.callee.startswith(BULK)]
    return tuple(dict.fromkeys(maps))


def check_boxes(buffer: Buffer) -> None:
    """`UnsupportedError` where the engine or a warpgroup would see tiles in another order."""
    known = len(buffer.shape) == 3 and buffer.layout == box_layout(buffer.shape, buffer.dtype)
    known &= buffer.alignment % BOX_ALIGNMENT == 0
    check(known, f"'{buffer.name}' is not laid out as boxes are", UnsupportedError)
