"""Resampling of images and other grids, as ONNX's Resize defines it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np

from ...errors import TypeRuleError, check
from ...expr import Const, Expr, apply, cast, const, index, select
from ...ir import ConstantData, Element, Op, Operand, Value, op
from ...sizes import Shape, Size, static
from ...types import Array, DType, TensorType
from ..base.body import Indices, clamped, computing_type, reduce_over
from ..base.cast import cast as cast_value
from ..base.constant import constant
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from ..products.matmul import matmul
from ..reductions.reduce import sum as sum_
from ..reductions.reduce import widened
from ..shapes.shape import moveaxis, reshape
from .sampling import COORDINATES, Sampling, rational, sampling

ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@op
class Resize(Op):
    """`x` resampled to `shape`, axis by axis; beyond its edges `x` goes on as at them.

    `coordinates` is ONNX's coordinate_transformation_mode. `scales` has an entry per axis, where
    they are not the quotients of the sizes.
    """

    x: Value
    shape: Shape
    coordinates: str = "half_pixel"
    scales: tuple[float, ...] = ()

    def infer(self) -> TensorType:
        rank = self.x.rank
        check(len(self.shape) == rank, f"{len(self.shape)} sizes for {rank} axes")
        check(len(self.scales) in (0, rank), f"{len(self.scales)} scales for {rank} axes")
        check(self.coordinates in COORDINATES, f'there are no "{self.coordinates}" coordinates')
        result = self.x.type.with_shape(self.shape)
        if self.x.type.is_static and result.is_static:
            self.samplings()
        return result

    def samplings(self) -> tuple[Sampling, ...]:
        """Where each axis is sampled; all sizes must be known."""
        found = []
        sizes = zip(self.x.type.static_shape, static(self.shape), strict=True)
        for axis, (size, count) in enumerate(sizes):
            own = Fraction(max(1, count), max(1, size))
            scale = rational(self.scales[axis]) if self.scales else own
            found.append(sampling(size, count, scale, self.coordinates))
        return tuple(found)

    def matrix(self, along: Sampling) -> Array:
        """`(count, size)`: the weights of an axis's elements in those of the resized one."""
        raise NotImplementedError(f"{self.name} has no weights")

    def gradient(self, y: Value, dy: Value) -> Gradients:
        if not self.x.dtype.is_float:
            return (None,)
        wide = cast_value(dy, computing_type(dy.dtype))
        for axis, along in enumerate(self.samplings()):
            wide = resized_back(wide, axis, self.matrix(along))
        return (cast_value(wide, dy.dtype),)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        shape = tuple(self.shape[axis] for axis in perm)
        scales = tuple(self.scales[axis] for axis in perm) if self.scales else ()
        return dataclasses.replace(self, shape=shape, scales=scales)


@op
class ResizeNearest(Resize):
    """Resample to `shape` by the nearest element: the place rounded as ONNX's nearest_mode says."""

    rounding: str = "round_prefer_floor"

    def infer(self) -> TensorType:
        check(self.rounding in ROUNDINGS, f'there is no rounding "{self.rounding}"')
        return super().infer()

    def reference(self, x: Array) -> Array:
        for axis, along in enumerate(self.samplings()):
            x = np.take(x, self._places(along), axis)
        return x

    def matrix(self, along: Sampling) -> Array:
        found = np.zeros((along.count, along.size))
        found[np.arange(along.count), self._places(along)] = 1
        return found

    def _places(self, along: Sampling) -> Array:
        """The element that each of the resized axis is."""
        places = [self._rounded(along.at(i)) for i in range(along.count)]
        return np.clip(np.array(places, np.int64), 0, along.size - 1)

    def _rounded(self, place: Fraction) -> int:
        match self.rounding:
            case "round_prefer_floor":
                return ceil(place - Fraction(1, 2))
            case "round_prefer_ceil":
                return floor(place + Fraction(1, 2))
            case "floor":
                return floor(place)
        return ceil(place)

    def body(self, at: Indices, x: Element) -> Expr:
        axes = zip(self.samplings(), at, strict=True)
        return x[tuple(along.inside(i, self._shift(along.unit)) for along, i in axes)]

    def _shift(self, unit: int) -> Fraction:
        """What, added to a multiple of `1 / unit`, makes rounding down the rounding that is set."""
        match self.rounding:
            case "round_prefer_floor":
                return Fraction(unit - 1, 2 * unit)
            case "round_prefer_ceil":
                return Fraction(1, 2)
            case "floor":
                return Fraction(0)
        return Fraction(unit - 1, unit)


@op
class Interpolation(Resize):
    """Resample to `shape` by weighted sums of neighbours, axis by axis."""

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        return super().infer()

    def weights(self, along: Sampling, i: int) -> Array:
        """The weights of the elements of an axis in element `i` of the resized one."""
        raise NotImplementedError(f"{self.name} has no weights")

    def matrix(self, along: Sampling) -> Array:
        rows = [self.weights(along, i) for i in range(along.count)]
        return np.array(rows, np.float64).reshape(along.count, along.size)

    def reference(self, x: Array) -> Array:
        y = widened(x)
        for axis, along in enumerate(self.samplings()):
            y = np.moveaxis(np.tensordot(self.matrix(along), y, (1, axis)), 0, axis)
        return np.ascontiguousarray(y).astype(x.dtype)


@op
class ResizeLinear(Interpolation):
    """Resample to `shape` by linear interpolation along each axis."""

    def weights(self, along: Sampling, i: int) -> Array:
        places = np.arange(along.size)
        place = np.clip(float(along.at(i)), 0, along.size - 1)
        return np.asarray(np.maximum(0, 1 - np.abs(places - place)))

    def body(self, at: Indices, x: Element) -> Expr:
        wide, axes = computing_type(self.x.dtype), self.samplings()

        def blended(position: Indices) -> Expr:
            """The interpolation along the axes that `position` leaves open."""
            axis = len(position)
            if axis == len(axes):
                return cast(x[position], wide)
            along, i = axes[axis], at[axis]
            low = blended((*position, along.inside(i)))
            if along.unit == 1:
                return low
            high = blended((*position, along.inside(i, Fraction(1))))
            rest = along.rest(i, wide)
            return low * (1.0 - rest) + high * rest

        return cast(blended(()), self.x.dtype)


@op
class ResizeCubic(Interpolation):
    """Resample to `shape` by cubic convolution along each axis (Keys, 1981).

    `coefficient` is ONNX's cubic_coeff_a; with `exclude_outside` what lies beyond the edges has no
    weight, and the other weights sum to 1.
    """

    coefficient: float = -0.75
    exclude_outside: bool = False

    def weights(self, along: Sampling, i: int) -> Array:
        first, found = floor(along.at(i)), np.zeros(along.size)
        for place in range(first - 1, first + 3):
            if self.exclude_outside and not 0 <= place < along.size:
                continue
            weight = self._kernel(abs(along.at(i) - place))
            found[min(max(place, 0), along.size - 1)] += float(weight)
        return found / found.sum() if self.exclude_outside else found

    def _kernel(self, distance: Fraction) -> Fraction:
        """The weight of an element at a distance, exact."""
        a, d = Fraction(self.coefficient), distance
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    def body(self, at: Indices, x: Element) -> Expr:
        wide, axes = computing_type(self.x.dtype), self.samplings()

        def blended(position: Indices) -> Expr:
            """The interpolation along the axes that `position` leaves open."""
            axis = len(position)
            if axis == len(axes):
                return cast(x[position], wide)
            along, i = axes[axis], at[axis]
            if along.unit == 1:
                return blended((*position, along.inside(i)))

            def element(tap: Expr) -> Expr:
                place = clamped(along.floor(i) + tap - 1, along.size)
                return self._weight(along, i, tap, wide) * blended((*position, place))

            total = reduce_over("sum", {f"t{axis}": 4}, element)
            if not self.exclude_outside:
                return total
            first, *others = (self._weight(along, i, index(tap), wide) for tap in range(4))
            return total / sum(others, first)

        return cast(blended(()), self.x.dtype)

    def _weight(self, along: Sampling, i: Expr, tap: Expr, dtype: DType) -> Expr:
        """The weight of tap 0 … 3 in element `i`; tap 1 is the element below its place."""
        a = self.coefficient
        number = const(tap.value, dtype) if isinstance(tap, Const) else cast(tap, dtype)
        distance = apply("abs", along.rest(i, dtype) + 1.0 - number)
        # The kernel's polynomials as products: summed, their terms cancel near 1 and 2.
        beside = 1.0 - distance
        near = beside * (distance + 1.0 - distance * distance * (a + 2))
        far = beside * (distance - 2.0) * (distance - 2.0) * -a
        weight = select((tap >= 1) & (tap <= 2), near, far)
        if not self.exclude_outside:
            return weight
        place = along.floor(i) + tap - 1
        return select((place >= 0) & (place < along.size), weight, const(0, dtype))


def resized_back(dy: Value, axis: int, weights: Array) -> Value:
    """A gradient along a resized axis brought to the original one: multiplied by the weights."""
    count, size = weights.shape
    if count == size and np.array_equal(weights, np.eye(size)):
        return dy
    times = count // max(1, size)
    if count and np.array_equal(weights, np.repeat(np.eye(size), times, 0)):
        apart = (*dy.shape[:axis], size, times, *dy.shape[axis + 1 :])
        return sum_(reshape(dy, apart), axis + 1)
    matrix = constant(ConstantData.of(weights.astype(dy.dtype.numpy)))
    return moveaxis(matmul(moveaxis(dy, axis, -1), matrix), -1, axis)


def resize(
    x: Operand,
    shape: Sequence[Size] | None = None,
    *,
    scales: Sequence[float] = (),
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    rounding: str = "round_prefer_floor",
    coefficient: float = -0.75,
    exclude_outside: bool = False,
) -> Value:
    """`x` resampled to `shape`, or to its sizes times `scales`, rounded down.

    `mode` is "nearest" (with `rounding`), "linear" or "cubic" (with `coefficient` and
    `exclude_outside`); see `ResizeNearest`, `ResizeLinear`, `ResizeCubic`.
    """
    value = as_value(x)
    factors = tuple(float(scale) for scale in scales)
    if shape is None:
        check(len(factors) == value.rank, f"{len(factors)} scales for {value.rank} axes")
        sizes = zip(value.shape, map(rational, factors), strict=True)
        wanted = tuple(size * scale.numerator // scale.denominator for size, scale in sizes)
    else:
        wanted = tuple(shape)
    match mode:
        case "nearest":
            return emit(ResizeNearest(value, wanted, coordinates, factors, rounding))
        case "linear":
            return emit(ResizeLinear(value, wanted, coordinates, factors))
        case "cubic":
            return emit(
                ResizeCubic(value, wanted, coordinates, factors, coefficient, exclude_outside)
            )
    raise TypeRuleError(f'there is no interpolation "{mode}"; there are nearest, linear and cubic')


OPS: tuple[type[Op], ...] = (ResizeNearest, ResizeLinear, ResizeCubic)
