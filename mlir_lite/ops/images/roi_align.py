"""Parts of images resampled to one size, as detectors do: roi_align."""

from __future__ import annotations

import itertools

from ...errors import check
from ...ir import Operand, Value
from ...sizes import product, static
from ...types import i64
from ..base.cast import cast
from ..base.promote import as_value, check_kind, check_same_dtype
from ..elementwise.arithmetic import maximum
from ..elementwise.compare import greater_equal, less_equal
from ..elementwise.select import clip, where
from ..reductions.reduce import max as max_
from ..reductions.reduce import mean
from ..shapes.creation import iota
from ..shapes.index import gather
from ..shapes.shape import expand_dims, moveaxis, reshape
from ..shapes.slice import slice_axis
from .grid_sample import linear_taps


def roi_align(
    x: Operand,
    boxes: Operand,
    images: Operand,
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    samples: int = 2,
    aligned: bool = True,
    mode: str = "avg",
) -> Value:
    """The `boxes (r, 4)` of (x, y, x, y), each of one of the `images (r,)` of `x (n, c, h, w)`,
    resampled to `size`: `(r, c, *size)`.

    He et al., "Mask R-CNN" (2017). `scale` leads from the boxes' units to pixels, of which the
    centres are at halves (`aligned`) or at whole numbers, when boxes are of one pixel at least.
    Each element is the mean of `samples²` places, or of `mode` "max" the largest weighted pixel.
    """
    value, rois, owners = as_value(x), as_value(boxes), as_value(images)
    check_kind(value, "f")
    check_kind(owners, "iu")
    check_same_dtype(value, rois)
    check(value.rank == 4, f"images have four axes, not {value.rank}")
    check(rois.rank == 2 and rois.shape[-1] == 4, "a box is four numbers")
    check(samples > 0, "each element needs a sample")
    check(mode in ("avg", "max"), f"the mode '{mode}' is none of avg, max")
    batch, channels, *_ = value.shape
    extents = static(value.shape[2:])
    axes = []
    for axis, extent, count in ((1, extents[0], size[0]), (0, extents[1], size[1])):
        place = _places(rois, axis, count, scale, samples, aligned)
        inside = greater_equal(place, -1) & less_equal(place, extent)
        axes.append((inside, linear_taps(clip(place, 0, extent - 1), extent, whole=True)))
    (rows_inside, rows), (columns_inside, columns) = axes
    inside = expand_dims(rows_inside, 2) & expand_dims(columns_inside, 1)
    flat = reshape(moveaxis(value, 1, 0), (channels, product((batch, *extents))))
    first = reshape(cast(owners, i64), (-1, 1, 1)) * (extents[0] * extents[1])
    total: Value | None = None
    for row, column in itertools.product(rows, columns):
        place = first + expand_dims(row.pixel, 2) * extents[1] + expand_dims(column.pixel, 1)
        assert row.weight is not None and column.weight is not None
        weight = expand_dims(row.weight, 2) * expand_dims(column.weight, 1)
        corner = gather(flat, place, 1) * where(inside, weight, 0)
        if total is None:
            total = corner
        else:
            total = total + corner if mode == "avg" else maximum(total, corner)
    assert total is not None
    parts = reshape(total, (channels, rois.shape[0], size[0], samples, size[1], samples))
    pooled = mean(parts, (3, 5)) if mode == "avg" else max_(parts, (3, 5))
    return moveaxis(pooled, 0, 1)


def _places(
    rois: Value, axis: int, count: int, scale: float, samples: int, aligned: bool
) -> Value:
    """Where boxes are sampled along an axis: `(r, count * samples)`."""
    offset = 0.5 if aligned else 0.0
    start, stop = (
        slice_axis(rois, 1, end, 1) * scale - offset for end in (axis, axis + 2)
    )
    length = stop - start
    if not aligned:
        length = maximum(length, 1.0)
    shares = (cast(iota(count * samples), rois.dtype) + 0.5) * (1 / (count * samples))
    return start + length * shares
