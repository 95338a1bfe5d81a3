"""What the card's copy engine is told of an array: a tensor map, 128 bytes that the driver makes of
the array's place, its sizes and those of a box. Kernels take them after their pointers.

The driver's own documentation of cuTensorMapEncodeTiled asks for places and strides that are
multiples of 16 bytes, boxes of at most 256 elements along an axis, and innermost of at most as many
bytes as are swizzled; what is at hand in a map starts from its innermost axis. Of an axis with
steps a box spans as many elements as it has places times the step ("to load N elements along the
i-th dimension, boxDim[i] must be set to N * elementStrides[i]").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from ....errors import UnsupportedError, check
from ....expr import index
from ....expr.simplify import linear
from ....tile.instructions.bulk import BOX_ALIGNMENT, BULK, box_layout, box_named
from ....tile.nodes import Block, Buffer, Call
from ....tile.traverse import walk
from ....types import DType

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
    steps: tuple[int, ...]

    @property
    def name(self) -> str:
        """What tells the maps of one parameter apart."""
        box = "x".join(str(size) for size in reversed(self.box) if size > 1)
        steps = "x".join(map(str, reversed(self.steps)))
        return box if set(self.steps) == {1} else f"{box}_by{steps}"

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
    source, box = call.windows[1], box_named(call.callee)
    names = [param.name for param in params]
    check(source.buffer in names, f"'{call.callee}' copies no parameter", UnsupportedError)
    assert box is not None
    place = names.index(source.buffer)
    array, outer = params[place], len(source.offsets) - len(box.axes)
    firsts, extents = call.scalars[::2], call.scalars[1::2]
    begun = zip(firsts, source.offsets[outer:], strict=True)
    begins = all(linear(first) == linear(offset) for first, offset in begun)
    check(begins, f"'{call.callee}' does not begin where it is told to", UnsupportedError)
    ends = extents == tuple(map(index, array.shape[outer:]))
    check(ends, f"'{call.callee}' ends elsewhere than '{array.name}' does", UnsupportedError)
    plain = array.layout is None
    check(plain, f"no tensor map is like the layout of '{array.name}'", UnsupportedError)
    axes = (*((1, 1) for _ in range(outer)), *box.axes)[::-1]
    spans, steps = tuple(side * step for side, step in axes), tuple(step for _, step in axes)
    return TensorMap(place, array.dtype, array.shape[::-1], spans, steps)


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
