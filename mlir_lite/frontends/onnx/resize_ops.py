"""Readers of `Resize` and `Upsample`: interpolation along one axis after the other.

Along an axis each element of the result is a weighted sum of a few elements of the operand, whose
places and weights are computed here; where every element is only repeated, it is said so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ... import ops
from ...errors import ParseError, UnsupportedError, check
from ...ir import Value
from ...types import Dim, Size
from .call import Call, Results
from .sizes import normal_axis, number

Reals: TypeAlias = NDArray[np.float64]

# Coordinates that do not depend on how long the axes are.
_LOCAL = ("half_pixel", "asymmetric", "tf_half_pixel_for_nn")


@dataclass(frozen=True)
class Interpolation:
    """The attributes of `Resize`, with the names of the specification."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


@dataclass(frozen=True)
class Stretch:
    """What happens to one axis: `extent` elements become `target`; `region` is what is cropped."""

    axis: int
    extent: Size
    target: Size
    scale: float
    region: tuple[float, float] = (0.0, 1.0)


def resize(call: Call) -> Results:
    """Versions from 11 on; 10 takes the scales alone and its coordinates are asymmetric."""
    if call.version == 10:
        return upsample(call)
    how = Interpolation(
        call.text("mode", "nearest"),
        call.text("coordinate_transformation_mode", "half_pixel"),
        call.text("nearest_mode", "round_prefer_floor"),
        call.float_("cubic_coeff_a", -0.75),
        bool(call.int_("exclude_outside", 0)),
        bool(call.int_("antialias", 0)),
        call.float_("extrapolation_value", 0.0),
    )
    return interpolate(call.value(0), _stretches(call, how), how)


def upsample(call: Call) -> Results:
    """`Upsample`, and the first version of `Resize`."""
    if call.version < 9:
        scales: Sequence[float] = call.floats("scales")
    else:
        scales = call.known(1).astype(np.float64).reshape(-1).tolist()
    shape = call.shape(0)
    check(len(scales) == len(shape), f"{len(scales)} scales for {len(shape)} axes", ParseError)
    mode = call.text("mode", "nearest")
    how = Interpolation(mode, coordinates="asymmetric", rounding="floor")
    stretches = [
        Stretch(axis, extent, _scaled(extent, scale), scale)
        for axis, (extent, scale) in enumerate(zip(shape, scales, strict=True))
    ]
    return interpolate(call.value(0), stretches, how)


def _scaled(extent: Size, scale: float) -> Size:
    check(scale > 0 and math.isfinite(scale), f"the scale {scale}", ParseError)
    if scale == int(scale):
        return extent * int(scale)
    return math.floor(number(extent, f"the size to be scaled by {scale}") * scale)


def _stretches(call: Call, how: Interpolation) -> list[Stretch]:
    """What happens to each axis, from the operands roi, scales and sizes."""
    shape = call.shape(0)
    given = call.ints("axes")
    axes = range(len(shape)) if given is None else [normal_axis(axis, len(shape)) for axis in given]
    extents = [shape[axis] for axis in axes]
    scales = call.known(2).astype(np.float64).reshape(-1).tolist() if call.has(2) else []
    if scales:
        check(len(scales) == len(extents), f"{len(scales)} scales, {len(extents)} axes", ParseError)
        targets = [_scaled(extent, s) for extent, s in zip(extents, scales, strict=True)]
    else:
        targets, scales = _from_sizes(call, extents)
    regions = [(0.0, 1.0)] * len(extents)
    if how.coordinates == "tf_crop_and_resize":
        bounds = call.known(1).astype(np.float64).reshape(-1).tolist()
        check(len(bounds) == 2 * len(extents), f"{len(bounds)} bounds of the region", ParseError)
        regions = list(zip(bounds[: len(extents)], bounds[len(extents) :], strict=True))
    return [Stretch(*entry) for entry in zip(axes, extents, targets, scales, regions, strict=True)]


def _from_sizes(call: Call, extents: Sequence[Size]) -> tuple[list[Size], list[float]]:
    """Targets and scales from the operand `sizes`, by the policy on the aspect ratio."""
    sizes = list(call.integers(3))
    check(len(sizes) == len(extents), f"{len(sizes)} sizes for {len(extents)} axes", ParseError)
    scales = [_ratio(size, extent) for size, extent in zip(sizes, extents, strict=True)]
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, scales
    check(policy in ("not_larger", "not_smaller"), f"the policy '{policy}'", ParseError)
    common = min(scales) if policy == "not_larger" else max(scales)
    lengths = [number(extent, "the size to be scaled") for extent in extents]
    # Halves are rounded up.
    return [math.floor(common * n + 0.5) for n in lengths], [common] * len(extents)


def _ratio(size: Size, extent: Size) -> float:
    if size == extent:
        return 1.0
    if isinstance(extent, Dim):
        # A multiple of a named size: its quotient comes out.
        return float(number(size // extent, "the ratio of sizes"))
    check(extent > 0, "an axis of no elements is resized", ParseError)
    return number(size, "the new size") / extent


def interpolate(x: Value, stretches: Sequence[Stretch], how: Interpolation) -> Value:
    """`x` with every axis resized in turn."""
    check(how.mode in ("nearest", "linear", "cubic"), f"the mode '{how.mode}'", UnsupportedError)
    crops = how.coordinates == "tf_crop_and_resize"
    outside: list[tuple[int, NDArray[np.bool_]]] = []
    for stretch in stretches:
        if stretch.scale == 1.0 and stretch.target == stretch.extent and not crops:
            continue
        if _repeats(stretch, how):
            x = ops.repeat(x, int(stretch.scale), stretch.axis)
            continue
        extent = number(stretch.extent, "the size of the resized axis")
        positions = _positions(stretch, how.coordinates)
        places, weights = _taps(positions, extent, stretch.scale, how)
        x = _weighted(x, stretch.axis, places, weights)
        if crops:
            outside.append((stretch.axis, (positions < 0) | (positions > extent - 1)))
    for axis, mask in outside:
        if mask.any():
            shape = [mask.size if place == axis else 1 for place in range(x.rank)]
            x = ops.where(mask.reshape(shape), how.extrapolation, x)
    return x


def _repeats(stretch: Stretch, how: Interpolation) -> bool:
    """Whether each element is repeated `scale` times, however long the axis is."""
    if how.mode != "nearest" or how.coordinates not in _LOCAL:
        return False
    count = int(stretch.scale)
    if count != stretch.scale or stretch.target != stretch.extent * count:
        return False
    sample = Stretch(stretch.axis, 3, 3 * count, stretch.scale)
    places, _ = _taps(_positions(sample, how.coordinates), 3, stretch.scale, how)
    return bool(np.array_equal(places[0], np.repeat(np.arange(3), count)))


def _positions(stretch: Stretch, coordinates: str) -> Reals:
    """Where in the operand each element of the result lies."""
    extent = number(stretch.extent, "the size of the resized axis")
    count = number(stretch.target, "the new size")
    place, scale = np.arange(count, dtype=np.float64), stretch.scale
    # The specification's own reference counts with the length before it is rounded.
    length = scale * extent
    match coordinates:
        case "half_pixel":
            return (place + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            offset = extent / 2 * (1 - count / length)
            return offset + (place + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (place + 0.5) / scale - 0.5 if count > 1 else place
        case "align_corners":
            return place if count == 1 else place * (extent - 1) / (length - 1)
        case "asymmetric":
            return place / scale
        case "tf_half_pixel_for_nn":
            return (place + 0.5) / scale
        case "tf_crop_and_resize":
            start, end = stretch.region
            if count == 1:
                return place + 0.5 * (start + end) * (extent - 1)
            return start * (extent - 1) + place * (end - start) * (extent - 1) / (length - 1)
    raise UnsupportedError(f"the coordinates '{coordinates}'")


def _taps(
    positions: Reals, extent: int, scale: float, how: Interpolation
) -> tuple[NDArray[np.int64], Reals]:
    """The places `(taps, count)` that each result takes from, and their weights."""
    if how.mode == "nearest":
        nearest = np.clip(_rounded(positions, how.rounding), 0, extent - 1)
        return nearest.astype(np.int64)[None], np.ones((1, positions.size))
    width = min(scale, 1.0) if how.antialias else 1.0
    radius = math.ceil((1 if how.mode == "linear" else 2) / width)
    steps = np.arange(1 - radius, radius + 1, dtype=np.float64)[:, None]
    places = np.floor(positions) + steps
    distance = np.abs(places - positions) * width
    if how.mode == "linear":
        weights = np.maximum(0.0, 1 - distance)
    else:
        weights = _cubic(distance, how.cubic_a)
    if how.exclude_outside:
        weights = np.where((places >= 0) & (places < extent), weights, 0.0)
    total = weights.sum(0)
    return np.clip(places, 0, extent - 1).astype(np.int64), weights / total


def _rounded(positions: Reals, rounding: str) -> Reals:
    match rounding:
        case "round_prefer_floor":
            return np.ceil(positions - 0.5)
        case "round_prefer_ceil":
            return np.floor(positions + 0.5)
        case "floor":
            return np.floor(positions)
        case "ceil":
            return np.ceil(positions)
    raise UnsupportedError(f"the rounding '{rounding}'")


def _cubic(distance: Reals, a: float) -> Reals:
    """Keys' kernel (1981), with its parameter `a`."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _weighted(x: Value, axis: int, places: NDArray[np.int64], weights: Reals) -> Value:
    """The weighted sum of the elements at `places` along an axis."""
    total: Value | None = None
    shape = [weights.shape[1] if place == axis else 1 for place in range(x.rank)]
    for place, weight in zip(places, weights, strict=True):
        if not weight.any():
            continue
        part = ops.gather(x, place, axis)
        if not (weight == 1).all():
            part = ops.multiply(part, weight.astype(x.dtype.numpy).reshape(shape))
        total = part if total is None else ops.add(total, part)
    check(total is not None, "an axis is resized to nothing", UnsupportedError)
    assert total is not None
    return total
