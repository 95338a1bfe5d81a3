"""Reading images at places that are data: grid_sample, as torch's and ONNX's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import check
from ...ir import Op, Operand, Value, op
from ...sizes import product
from ...types import Array, TensorType, f32, f64, i64
from ..base.broadcast import broadcast
from ..base.cast import cast
from ..base.elements import emit
from ..base.promote import as_value, check_kind
from ..elementwise.arithmetic import minimum, mod
from ..elementwise.compare import greater_equal, less
from ..elementwise.select import clip, where
from ..elementwise.unary import absolute, floor
from ..elementwise.unary import round as rounded
from ..reductions.reduce import widened
from ..shapes.index import gather_elements
from ..shapes.shape import expand_dims, reshape
from ..shapes.slice import slice_axis

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")

_SHARPNESS = -0.75  # of the cubic kernel: torch's and ONNX's


@op
class GridSample(Op):
    """`x (n, c, h, w)` read at `grid (n, i, j, 2)` of (x, y) in [-1, 1]: `(n, c, i, j)`.

    -1 and 1 are the centres of the outermost pixels (`align_corners`), or their outer edges. Beyond
    those are zeros, the border's pixels, or a reflection. There may be any number of such axes.
    """

    x: Value
    grid: Value
    mode: str = "bilinear"
    padding: str = "zeros"
    align_corners: bool = False

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check_kind(self.grid, "f")
        check(self.mode in MODES, f"the mode '{self.mode}' is none of {', '.join(MODES)}")
        known = ", ".join(PADDINGS)
        check(self.padding in PADDINGS, f"the padding '{self.padding}' is none of {known}")
        rank = self.x.rank - 2
        check(rank >= 1, "an image has axes for the batch, for channels, and others")
        fits = self.grid.rank == rank + 2 and self.grid.shape[-1] == rank
        check(fits, f"a grid for {rank} axes is of rank {rank + 2}, its last axis of size {rank}")
        check(self.grid.shape[0] == self.x.shape[0], "the batches of x and the grid differ")
        empty = any(size == 0 for size in self.x.shape[2:])
        check(not empty, "there is nothing to sample in no pixels")
        return self.x.type.with_shape((*self.x.shape[:2], *self.grid.shape[1:-1]))

    def reference(self, x: Array, grid: Array) -> Array:
        image, places = np.moveaxis(widened(x), 1, -1), widened(grid)[..., ::-1]
        batch = np.arange(len(x)).reshape(-1, *(1,) * (grid.ndim - 2))
        axes = [
            list(_taps_in_numpy(self, places[..., axis], size))
            for axis, size in enumerate(x.shape[2:])
        ]
        total = np.zeros((len(x), *grid.shape[1:-1], x.shape[1]))
        for taps in itertools.product(*axes):
            weight = np.prod([tap[1] for tap in taps], axis=0)
            pixels = image[(batch, *(tap[0] for tap in taps))]
            total = total + np.where((weight != 0)[..., None], pixels, 0) * weight[..., None]
        return np.ascontiguousarray(np.moveaxis(total, -1, 1)).astype(x.dtype)

    def decompose(self, x: Value, grid: Value) -> Value:
        wide = f64 if f64 in (x.dtype, grid.dtype) else f32
        places = cast(grid, wide)
        rank = x.rank - 2
        axes = [
            _taps(self, _coordinate(places, rank - 1 - axis), size)
            for axis, size in enumerate(x.type.static_shape[2:])
        ]
        return cast(sampled(cast(x, wide), axes), x.dtype)


@dataclass(frozen=True)
class Tap:
    """Along one axis: a pixel that there is, its weight, and where it counts, if not everywhere."""

    pixel: Value
    weight: Value | None
    inside: Value | None


def sampled(x: Value, axes: Sequence[Sequence[Tap]]) -> Value:
    """The weighted sums of pixels of `x (n, c, ..)`, one of the taps along each axis at a time.

    Taps are of shape `(n, ..)`, the result is `(n, c, ..)`.
    """
    batch, channels, *sizes = x.type.static_shape
    flat = reshape(x, (batch, channels, product(sizes)))
    total: Value | None = None
    for taps in itertools.product(*axes):
        place = taps[0].pixel
        for tap, size in zip(taps[1:], sizes[1:], strict=True):
            place = place * size + tap.pixel
        out = place.shape[1:]
        spread = broadcast(
            reshape(place, (batch, 1, product(out))), (batch, channels, product(out))
        )
        value = reshape(gather_elements(flat, spread, 2), (batch, channels, *out))
        for tap in taps:
            if tap.inside is not None:
                value = where(expand_dims(tap.inside, 1), value, 0)
        for tap in taps:
            if tap.weight is not None:
                value = value * expand_dims(tap.weight, 1)
        total = value if total is None else total + value
    assert total is not None
    return total


def linear_taps(place: Value, size: int, *, whole: bool) -> list[Tap]:
    """The two neighbours of a place; pixels that are not there count as 0, or, `whole`, all are."""
    low = floor(place)
    share = place - low
    return [
        existing(low, size, 1 - share, whole=whole),
        existing(low + 1, size, share, whole=whole),
    ]


def existing(pixel: Value, size: int, weight: Value | None, *, whole: bool) -> Tap:
    """The tap of a pixel given as a float."""
    inside = None if whole else greater_equal(pixel, 0) & less(pixel, size)
    return Tap(cast(clip(pixel, 0, size - 1), i64), weight, inside)


def _coordinate(grid: Value, axis: int) -> Value:
    return reshape(slice_axis(grid, grid.rank - 1, axis, 1), grid.shape[:-1])


def _taps(op_: GridSample, coordinate: Value, size: int) -> list[Tap]:
    """The pixels along one axis that the coordinates read."""
    if op_.align_corners:
        place, low, high = (coordinate + 1) * ((size - 1) / 2), 0.0, size - 1.0
    else:
        place, low, high = ((coordinate + 1) * size - 1) * 0.5, -0.5, size - 0.5
    whole = op_.padding != "zeros"

    def padded(position: Value) -> Value:
        if op_.padding == "reflection":
            position = _reflected(position, low, high)
        return clip(position, 0, size - 1) if whole else position

    if op_.mode == "nearest":
        return [existing(rounded(padded(place)), size, None, whole=whole)]
    if op_.mode == "bilinear":
        return linear_taps(padded(place), size, whole=whole)
    first = floor(place)
    share = place - first
    return [
        existing(padded(first + offset), size, _cubic(absolute(share - offset)), whole=whole)
        for offset in (-1, 0, 1, 2)
    ]


def _reflected(place: Value, low: float, high: float) -> Value:
    """A place mirrored at both ends until it is between them."""
    if low == high:
        return place * 0
    way = mod(place - low, 2 * (high - low))
    return minimum(way, 2 * (high - low) - way) + low


def _cubic(distance: Value) -> Value:
    """The weight of a pixel (Keys, "Cubic convolution interpolation", 1981)."""
    a = _SHARPNESS
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return where(distance <= 1, near, far)


def _taps_in_numpy(
    op_: GridSample, coordinate: Array, size: int
) -> Sequence[tuple[Array, Array]]:
    """Pixels along an axis and their weights, which are 0 where there is none."""
    ends = (0, size - 1) if op_.align_corners else (-0.5, size - 0.5)
    place = ends[0] + (coordinate + 1) / 2 * (ends[1] - ends[0])

    def inward(position: Array) -> Array:
        if op_.padding == "reflection" and size - op_.align_corners > 0:
            for _ in range(1 + int(np.abs(position).max(initial=0)) // max(1, size - 1)):
                position = np.where(position < ends[0], 2 * ends[0] - position, position)
                position = np.where(position > ends[1], 2 * ends[1] - position, position)
        return position if op_.padding == "zeros" else np.clip(position, 0, size - 1)

    def tap(position: Array, weight: Array) -> tuple[Array, Array]:
        there = (position >= 0) & (position < size)
        return np.clip(position, 0, size - 1).astype(np.int64), np.where(there, weight, 0)

    match op_.mode:
        case "nearest":
            return [tap(np.rint(inward(place)), np.ones_like(place))]
        case "bilinear":
            inside = inward(place)
            below = np.floor(inside)
            return [tap(below, below + 1 - inside), tap(below + 1, inside - below)]
    below = np.floor(place)
    offsets = np.arange(-1, 3)
    t = place - below
    weights = (
        -0.75 * t * (1 - t) ** 2,
        1 - t * t * (2.25 - 1.25 * t),
        1 - (1 - t) ** 2 * (2.25 - 1.25 * (1 - t)),
        -0.75 * (1 - t) * t**2,
    )
    return [tap(inward(below + o), w) for o, w in zip(offsets, weights, strict=True)]


def grid_sample(
    x: Operand,
    grid: Operand,
    *,
    mode: str = "bilinear",
    padding: str = "zeros",
    align_corners: bool = False,
) -> Value:
    """`x (n, c, h, w)` read at the places of `grid (n, i, j, 2)`; see `GridSample`."""
    return emit(GridSample(as_value(x), as_value(grid), mode, padding, align_corners))


OPS: tuple[type[Op], ...] = (GridSample,)
