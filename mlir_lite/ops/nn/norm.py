"""Normalisations, written with other operations, so that one fused kernel does each.

Half-width floats are computed in f32 and rounded once.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...errors import check
from ...ir import Op, Operand, Value, op
from ...types import Array, TensorType
from ..base.axes import check_axis, normal_axis
from ..base.body import computing_type
from ..base.cast import cast
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from ..elementwise.unary import rsqrt, square
from ..reductions.reduce import mean as mean_
from ..reductions.reduce import sum as sum_
from ..reductions.reduce import widened
from ..shapes.shape import reshape


@op
class LayerNorm(Op):
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from `axis` on.

    Ba, Kiros, Hinton (2016). `scale` and `bias` have the shape of the normalised axes.
    """

    x: Value
    scale: Value | None
    bias: Value | None
    axis: int
    epsilon: float

    def infer(self) -> TensorType:
        _check_normalised(self.x, self.axis, scale=self.scale, bias=self.bias)
        return self.x.type

    def reference(self, x: Array, scale: Array | None, bias: Array | None) -> Array:
        wide, axes = widened(x), tuple(range(self.axis, x.ndim))
        centred = wide - wide.mean(axes, keepdims=True)
        variance = np.square(centred).mean(axes, keepdims=True)
        y = centred / np.sqrt(variance + self.epsilon)
        y = y if scale is None else y * widened(scale)
        y = y if bias is None else y + widened(bias)
        return np.asarray(y).astype(x.dtype)

    def decompose(self, x: Value, scale: Value | None, bias: Value | None) -> Value:
        centred, factor = self._standardised(x)
        y = centred * factor
        y = y if scale is None else y * _wide(scale)
        y = y if bias is None else y + _wide(bias)
        return cast(y, x.dtype)

    def _standardised(self, x: Value) -> tuple[Value, Value]:
        """`x - mean` and `1 / sqrt(variance + epsilon)`."""
        wide, axes = _wide(x), tuple(range(self.axis, x.rank))
        centred = wide - mean_(wide, axes, keepdims=True)
        variance = mean_(square(centred), axes, keepdims=True)
        return centred, rsqrt(variance + self.epsilon)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """From `x` again, with the numbers that `decompose` has: no large terms that cancel."""
        centred, factor = self._standardised(self.x)
        normal, wide, axes = centred * factor, _wide(dy), tuple(range(self.axis, self.x.rank))
        scaled = wide if self.scale is None else wide * _wide(self.scale)
        even = mean_(scaled, axes, keepdims=True)
        along = mean_(scaled * normal, axes, keepdims=True)
        dx = (scaled - even - normal * along) * factor
        return (
            cast(dx, self.x.dtype),
            _parameter_gradient(wide * normal, self.scale, self.axis),
            _parameter_gradient(wide, self.bias, self.axis),
        )


@op
class RmsNorm(Op):
    """`x / sqrt(mean(x²) + epsilon) * scale` over the axes from `axis` on.

    Zhang, Sennrich (2019). `scale` has the shape of the normalised axes.
    """

    x: Value
    scale: Value | None
    axis: int
    epsilon: float

    def infer(self) -> TensorType:
        _check_normalised(self.x, self.axis, scale=self.scale)
        return self.x.type

    def reference(self, x: Array, scale: Array | None) -> Array:
        wide = widened(x)
        squares = np.square(wide).mean(tuple(range(self.axis, x.ndim)), keepdims=True)
        y = wide / np.sqrt(squares + self.epsilon)
        y = y if scale is None else y * widened(scale)
        return np.asarray(y).astype(x.dtype)

    def decompose(self, x: Value, scale: Value | None) -> Value:
        y = _wide(x) * self._factor(x)
        return cast(y if scale is None else y * _wide(scale), x.dtype)

    def _factor(self, x: Value) -> Value:
        """`1 / sqrt(mean(x²) + epsilon)`."""
        squares = mean_(square(_wide(x)), tuple(range(self.axis, x.rank)), keepdims=True)
        return rsqrt(squares + self.epsilon)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        factor, wide = self._factor(self.x), _wide(dy)
        normal, axes = _wide(self.x) * factor, tuple(range(self.axis, self.x.rank))
        scaled = wide if self.scale is None else wide * _wide(self.scale)
        along = mean_(scaled * normal, axes, keepdims=True)
        dx = (scaled - normal * along) * factor
        scale = _parameter_gradient(wide * normal, self.scale, self.axis)
        return cast(dx, self.x.dtype), scale


def _parameter_gradient(gradient: Value, parameter: Value | None, axis: int) -> Value | None:
    """What arrives at a parameter of the axes from `axis` on, summed over the others."""
    if parameter is None:
        return None
    total = sum_(gradient, tuple(range(axis))) if axis else gradient
    return cast(total, parameter.dtype)


def _check_normalised(x: Value, axis: int, **parameters: Value | None) -> None:
    """The type rule of a normalisation over the axes from `axis` on."""
    check_kind(x, "f")
    check_axis(axis, x.rank)
    wanted = x.type.with_shape(x.shape[axis:])
    for name, value in parameters.items():
        if value is not None:
            check(value.type == wanted, f"the {name} is {value.type}, expected {wanted}")


@op
class BatchNorm(Op):
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, with one of each per index of `axis`.

    Batch normalisation by given statistics: Ioffe, Szegedy (2015).
    """

    x: Value
    scale: Value
    bias: Value
    mean: Value
    variance: Value
    axis: int
    epsilon: float

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check_axis(self.axis, self.x.rank)
        wanted = self.x.type.with_shape((self.x.shape[self.axis],))
        for name in ("scale", "bias", "mean", "variance"):
            entry: Value = getattr(self, name)
            check(entry.type == wanted, f"the {name} is {entry.type}, expected {wanted}")
        return self.x.type

    def reference(self, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
        apart = (-1, *(1,) * (x.ndim - self.axis - 1))
        s, b, m, v = (widened(array).reshape(apart) for array in (scale, bias, mean, variance))
        return np.asarray((widened(x) - m) / np.sqrt(v + self.epsilon) * s + b).astype(x.dtype)

    def decompose(self, x: Value, scale: Value, bias: Value, mean: Value, variance: Value) -> Value:
        # One factor and one shift per channel: both fold into the weights of a convolution before.
        factor = _wide(scale) * rsqrt(_wide(variance) + self.epsilon)
        shift = _wide(bias) - _wide(mean) * factor
        apart = (x.shape[self.axis], *(1,) * (x.rank - self.axis - 1))
        return cast(_wide(x) * reshape(factor, apart) + reshape(shift, apart), x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        apart = (self.x.shape[self.axis], *(1,) * (self.x.rank - self.axis - 1))
        others = tuple(axis for axis in range(self.x.rank) if axis != self.axis)
        deviation = rsqrt(_wide(self.variance) + self.epsilon)
        factor, wide = _wide(self.scale) * deviation, _wide(dy)
        centred = _wide(self.x) - reshape(_wide(self.mean), apart)
        total = sum_(wide, others)
        scale = sum_(wide * centred, others) * deviation
        variance = scale * factor * deviation * -0.5
        found = wide * reshape(factor, apart), scale, total, -total * factor, variance
        return tuple(cast(gradient, self.x.dtype) for gradient in found)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        """The same of a transposed `x`; the numbers per channel stay as they are."""
        return dataclasses.replace(self, axis=perm.index(self.axis))


def _wide(x: Value) -> Value:
    """The value in the type it is computed in."""
    return cast(x, computing_type(x.dtype))


def layer_norm(
    x: Operand,
    scale: Operand | None = None,
    bias: Operand | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise to mean 0 and variance 1 over the axes from `axis` on; see `LayerNorm`."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    return emit(LayerNorm(value, _optional(scale), _optional(bias), place, epsilon))


def rms_norm(
    x: Operand, scale: Operand | None = None, *, axis: int = -1, epsilon: float = 1e-5
) -> Value:
    """Divide by the root of the mean square over the axes from `axis` on; see `RmsNorm`."""
    value = as_value(x)
    return emit(RmsNorm(value, _optional(scale), normal_axis(axis, value.rank), epsilon))


def batch_norm(
    x: Operand,
    scale: Operand,
    bias: Operand,
    mean: Operand,
    variance: Operand,
    *,
    axis: int = 1,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise each channel by given statistics; see `BatchNorm`."""
    value = as_value(x)
    s, b, m, v = map(as_value, (scale, bias, mean, variance))
    return emit(BatchNorm(value, s, b, m, v, normal_axis(axis, value.rank), epsilon))


def _optional(operand: Operand | None) -> Value | None:
    return None if operand is None else as_value(operand)


OPS: tuple[type[Op], ...] = (LayerNorm, RmsNorm, BatchNorm)
