"""Readers of `Resize` and `Upsample`.

What the operation `resize` does not do, smoothing before shrinking and cropping, is written as
weighted sums of the elements at places that are computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .... import ops
from ....errors import ParseError, UnsupportedError, check
from ....ir import Value
from ....ops.images.sampling import rational, sampling
from ....sizes import Dim, Shape, Size
from ..call import Call, Results
from ..sizes import normal_axis, number

Reals: TypeAlias = NDArray[np.float64]

# Places and weights are tables that are computed here: longer axes are no images.
_LONGEST = 1 << 16


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
    """What happens to one axis: `extent` elements become `target`; `region` is what is cropped.

    The scale is None where it is the quotient of sizes that are known by name only.
    """

    extent: Size
    target: Size
    scale: float | None
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
    return _resized(call.value(0), _stretches(call, how), how)


def upsample(call: Call) -> Results:
    """`Upsample`, and the first version of `Resize`."""
    scales = list(call.floats("scales")) if call.version < 9 else _reals(call, 1)
    shape = call.shape(0)
    check(len(scales) == len(shape), f"{len(scales)} scales for {len(shape)} axes", ParseError)
    stretches = [
        Stretch(extent, _scaled(extent, scale), scale)
        for extent, scale in zip(shape, scales, strict=True)
    ]
    how = Interpolation(call.text("mode", "nearest"), "asymmetric", "floor")
    return _resized(call.value(0), stretches, how)


def _reals(call: Call, position: int) -> list[float]:
    found: list[float] = call.known(position).astype(np.float64).reshape(-1).tolist()
    return found


def _scaled(extent: Size, scale: float) -> Size:
    check(0 < scale < _LONGEST, f"the scale {scale}", ParseError)
    exact = rational(scale)
    return extent * exact.numerator // exact.denominator


def _stretches(call: Call, how: Interpolation) -> list[Stretch]:
    """What happens to each axis, from the operands roi, scales and sizes."""
    shape = call.shape(0)
    given = call.ints("axes")
    axes = list(range(len(shape)))
    if given is not None:
        axes = [normal_axis(axis, len(shape)) for axis in given]
    extents = [shape[axis] for axis in axes]
    given_scales = _reals(call, 2) if call.has(2) else []
    scales: Sequence[float | None] = given_scales
    if given_scales:
        check(len(scales) == len(axes), f"{len(scales)} scales, {len(axes)} axes", ParseError)
        targets = [_scaled(extent, s) for extent, s in zip(extents, given_scales, strict=True)]
    else:
        targets, scales = _from_sizes(call, extents)
    regions = [(0.0, 1.0)] * len(axes)
    if how.coordinates == "tf_crop_and_resize":
        bounds = _reals(call, 1)
        check(len(bounds) == 2 * len(axes), f"{len(bounds)} bounds of the region", ParseError)
        regions = list(zip(bounds[: len(axes)], bounds[len(axes) :], strict=True))
    found = [Stretch(extent, extent, 1.0) for extent in shape]
    for axis, target, scale, region in zip(axes, targets, scales, regions, strict=True):
        found[axis] = Stretch(shape[axis], target, scale, region)
    return found


def _from_sizes(
    call: Call, extents: Sequence[Size]
) -> tuple[list[Size], Sequence[float | None]]:
    """Targets and scales from the operand `sizes`, by the policy on the aspect ratio."""
    sizes = list(call.integers(3))
    check(len(sizes) == len(extents), f"{len(sizes)} sizes for {len(extents)} axes", ParseError)
    scales = [_ratio(size, extent) for size, extent in zip(sizes, extents, strict=True)]
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes, scales
    check(policy in ("not_larger", "not_smaller"), f"the policy '{policy}'", ParseError)
    lengths = [number(extent, "the size to be scaled") for extent in extents]
    known = [number(size, "the new size") / n for size, n in zip(sizes, lengths, strict=True)]
    common = min(known) if policy == "not_larger" else max(known)
    # Halves are rounded up.
    return [math.floor(common * n + 0.5) for n in lengths], [common] * len(extents)


def _ratio(size: Size, extent: Size) -> float | None:
    if size == extent:
        return 1.0
    if isinstance(extent, Dim):
        # Of a multiple of a named size the quotient comes out.
        quotient = size // extent
        return None if isinstance(quotient, Dim) else float(quotient)
    check(extent > 0, "an axis of no elements is resized", ParseError)
    return None if isinstance(size, Dim) else size / extent


def _resized(x: Value, stretches: Sequence[Stretch], how: Interpolation) -> Value:
    check(how.mode in ("nearest", "linear", "cubic"), f"the mode '{how.mode}'", UnsupportedError)
    smooths = how.antialias and any(_known_scale(stretch) < 1 for stretch in stretches)
    if how.coordinates == "tf_crop_and_resize" or smooths:
        return _by_tables(x, stretches, how)
    target: Shape = tuple(stretch.target for stretch in stretches)
    if target == x.shape and all(stretch.scale == 1 for stretch in stretches):
        return x
    return ops.resize(
        x,
        target,
        scales=() if _follow_from_sizes(stretches) else list(map(_known_scale, stretches)),
        mode=how.mode,
        coordinates=how.coordinates,
        rounding=how.rounding,
        coefficient=how.cubic_a,
        exclude_outside=how.exclude_outside,
    )


def _follow_from_sizes(stretches: Sequence[Stretch]) -> bool:
    """Whether every scale is the quotient of the sizes."""
    return all(
        stretch.scale is None
        or stretch.extent * rational(stretch.scale).numerator
        == stretch.target * rational(stretch.scale).denominator
        for stretch in stretches
    )


def _known_scale(stretch: Stretch) -> float:
    """The scale of an axis that asks for it as a number."""
    if stretch.scale is None:
        sizes = number(stretch.target, "the new size"), number(stretch.extent, "the resized size")
        return sizes[0] / max(1, sizes[1])
    return stretch.scale


def _by_tables(x: Value, stretches: Sequence[Stretch], how: Interpolation) -> Value:
    """`x` resized along one axis after the other, by places and weights."""
    crops = how.coordinates == "tf_crop_and_resize"
    outside: list[tuple[int, NDArray[np.bool_]]] = []
    for axis, stretch in enumerate(stretches):
        if stretch == Stretch(stretch.extent, stretch.extent, 1.0):
            continue
        extent = number(stretch.extent, "the size of the resized axis")
        positions = _positions(stretch, how.coordinates)
        places, weights = _taps(positions, extent, _known_scale(stretch), how)
        x = _weighted(x, axis, places, weights)
        if crops:
            outside.append((axis, (positions < 0) | (positions > extent - 1)))
    for axis, mask in outside:
        if mask.any():
            shape = [mask.size if place == axis else 1 for place in range(x.rank)]
            x = ops.where(mask.reshape(shape), how.extrapolation, x)
    return x


def _positions(stretch: Stretch, coordinates: str) -> Reals:
    """Where in the operand each element of the result lies."""
    extent = number(stretch.extent, "the size of the resized axis")
    count = number(stretch.target, "the new size")
    check(0 < count <= _LONGEST, f"an axis is resized to {count}", UnsupportedError)
    if coordinates != "tf_crop_and_resize":
        along = sampling(extent, count, rational(_known_scale(stretch)), coordinates)
        return np.array([float(along.at(place)) for place in range(count)])
    start, end = stretch.region
    place, last = np.arange(count, dtype=np.float64), extent - 1
    if count == 1:
        return place + 0.5 * (start + end) * last
    return start * last + place * (end - start) * last / (count - 1)


def _taps(
    positions: Reals, extent: int, scale: float, how: Interpolation
) -> tuple[NDArray[np.int64], Reals]:
    """The places `(taps, count)` that each result takes from, and their weights."""
    if how.mode == "nearest":
        nearest = np.clip(_rounded(positions, how.rounding), 0, extent - 1)
        return nearest.astype(np.int64)[None], np.ones((1, positions.size))
    width = min(scale, 1.0) if how.antialias else 1.0
    radius = math.ceil((1 if how.mode == "linear" else 2) / width)
    check(radius <= _LONGEST, f"an axis is resized by {scale}", UnsupportedError)
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
