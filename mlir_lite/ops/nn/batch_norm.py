"""Batch normalisation in training: by the statistics of the batch itself, which it gives too."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...ir import Op, Operand, Value, current_builder, op
from ...types import Array, TensorType
from ..base.axes import check_axis, normal_axis
from ..base.body import computing_type
from ..base.cast import cast
from ..base.elements import Gradients
from ..base.promote import as_value, check_kind
from ..elementwise.unary import rsqrt, square
from ..reductions.reduce import mean as mean_
from ..reductions.reduce import sum as sum_
from ..reductions.reduce import widened
from ..shapes.creation import ones_like, zeros_like
from ..shapes.shape import reshape


@op
class BatchNormTraining(Op):
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, the mean and the variance, with one
    of each per index of `axis`: those of the batch over all other axes.

    Ioffe, Szegedy (2015). The variance is divided by the number of elements.
    """

    x: Value
    scale: Value
    bias: Value
    axis: int
    epsilon: float

    def infer(self) -> tuple[TensorType, ...]:
        check_kind(self.x, "f")
        check_axis(self.axis, self.x.rank)
        channels = self.x.type.with_shape((self.x.shape[self.axis],))
        for name in ("scale", "bias"):
            entry: Value = getattr(self, name)
            check(entry.type == channels, f"the {name} is {entry.type}, expected {channels}")
        return self.x.type, channels, channels

    def reference(self, x: Array, scale: Array, bias: Array) -> tuple[Array, ...]:
        wide, apart = widened(x), (-1, *(1,) * (x.ndim - self.axis - 1))
        with np.errstate(all="ignore"):  # of no elements
            count = np.float64(wide.size / max(1, wide.shape[self.axis]))
            mean = wide.sum(self._others, keepdims=True) / count
            variance = np.square(wide - mean).sum(self._others, keepdims=True) / count
            y = (wide - mean) / np.sqrt(variance + self.epsilon)
        y = y * widened(scale).reshape(apart) + widened(bias).reshape(apart)
        return tuple(z.astype(x.dtype) for z in (y, mean.reshape(-1), variance.reshape(-1)))

    def decompose(self, x: Value, scale: Value, bias: Value) -> tuple[Value, ...]:
        wide = cast(x, computing_type(x.dtype))
        mean = mean_(wide, self._others)
        centred = wide - self._apart(mean)
        variance = mean_(square(centred), self._others)
        factor = cast(scale, wide.dtype) * rsqrt(variance + self.epsilon)
        y = centred * self._apart(factor) + self._apart(cast(bias, wide.dtype))
        return cast(y, x.dtype), cast(mean, x.dtype), cast(variance, x.dtype)

    def gradient(
        self,
        y: Value,
        mean: Value,
        variance: Value,
        dy: Value | None,
        dmean: Value | None,
        dvariance: Value | None,
    ) -> Gradients:
        wide = computing_type(self.x.dtype)
        count = sum_(ones_like(cast(self.x, wide)), self._others)
        centred = cast(self.x, wide) - self._apart(cast(mean, wide))
        slope = rsqrt(cast(variance, wide) + self.epsilon)
        upstream = zeros_like(centred) if dy is None else cast(dy, wide)
        dbias = sum_(upstream, self._others)
        dscale = sum_(upstream * centred, self._others) * slope
        factor = cast(self.scale, wide) * slope
        # What reaches all of a batch alike, through its mean and its variance.
        shift, tilt = -factor * dbias, -factor * slope * dscale
        if dmean is not None:
            shift = shift + cast(dmean, wide)
        if dvariance is not None:
            tilt = tilt + 2.0 * cast(dvariance, wide)
        dx = upstream * self._apart(factor)
        dx = dx + centred * self._apart(tilt / count) + self._apart(shift / count)
        dtype = self.x.dtype
        return cast(dx, dtype), cast(dscale, dtype), cast(dbias, dtype)

    @property
    def _others(self) -> tuple[int, ...]:
        """The axes that statistics are taken over."""
        return tuple(axis for axis in range(self.x.rank) if axis != self.axis)

    def _apart(self, per_channel: Value) -> Value:
        """A number per channel in a shape that broadcasts with `x`."""
        after = self.x.rank - self.axis - 1
        return reshape(per_channel, (self.x.shape[self.axis], *(1,) * after))


def batch_norm_training(
    x: Operand, scale: Operand, bias: Operand, *, axis: int = 1, epsilon: float = 1e-5
) -> tuple[Value, Value, Value]:
    """`x` normalised by its own statistics, their mean, and their variance (of all n elements)."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    emitted = BatchNormTraining(value, as_value(scale), as_value(bias), place, epsilon)
    y, mean, variance = current_builder().emit(emitted)
    return y, mean, variance


OPS: tuple[type[Op], ...] = (BatchNormTraining,)
