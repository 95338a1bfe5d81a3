"""Pooling: the largest or the mean element of each window, or of all spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from ...errors import UnsupportedError, check
from ...expr import COMBINERS, Const, Expr, apply, cast, index
from ...ir import ConstantData, Element, Op, Operand, Scalar, Value, op
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, reduce_over
from ..base.constant import constant
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from ..reductions.reduce import max as max_
from ..reductions.reduce import mean, widened
from .over_windows import OverWindows
from .window_sum import window_spread
from .window_taps import window_taps
from .windows import (
    Padding,
    Window,
    channels_first,
    check_layout,
    counts_of,
    in_layout,
    padding_pairs,
    per_axis,
    read_window,
    sources,
    spatial_of,
    split_index,
    taps_of,
    windowed,
)


@op
class Pool(OverWindows):
    """What the poolings share: `(batch, channels, *size)` seen through windows.

    One window size, stride, dilation and (low, high) padding per spatial axis. With `ceil_mode`
    the last windows may reach beyond the high padding, if they start before it.
    """

    x: Value
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    ceil_mode: bool = False
    layout: str = "nchw"

    def infer(self) -> TensorType:
        check_layout(self.x.type, self.layout)
        return windowed(self.x.type, self.windows(), self.layout)

    def spread_to_windows(self, dy: Value, taps: Value | None) -> Value:
        """Each element of a gradient added to those of its window, or to the one at its tap."""
        size = spatial_of(self.x.shape, self.layout)
        steps = self.strides, self.padding, self.dilations, self.ceil_mode
        return window_spread(dy, taps, size, self.window, *steps, self.layout)

    def over_window(self, combiner: str, at: Indices, x: Element) -> Expr:
        """The window at `at` reduced, padding being the combiner's identity."""
        batch, channel, position = split_index(at, self.layout)
        windows, dtype = self.windows(), self.x.dtype
        identity = COMBINERS[combiner].identity[0](dtype)

        def element(*taps: Expr) -> Expr:
            source = sources(windows, position, taps)
            seen = read_window(x, batch, channel, source, windows, self.layout, identity)
            return cast(seen, computing_type(dtype))

        axes = {f"k{axis}": extent for axis, extent in enumerate(self.window)}
        return reduce_over(combiner, axes, element)


@op
class MaxPool(Pool):
    """The largest element of each window; NaN wins, padding never does.

    A window of padding alone gives the least value there is.
    """

    def infer(self) -> TensorType:
        check_kind(self.x, "fiu")
        return super().infer()

    def reference(self, x: Array) -> Array:
        least = COMBINERS["max"].identity[0](self.x.dtype)
        seen = taps_of(channels_first(x, self.layout), self.windows(), least)
        return in_layout(reduce(np.maximum, (part for _, part in seen)), self.layout)

    def body(self, at: Indices, x: Element) -> Expr:
        return cast(self.over_window("max", at, x), self.x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """To the first of the largest elements of each window, as in torch."""
        steps = self.window, self.strides, self.padding, self.dilations
        taps = window_taps(self.x, y, *steps, self.ceil_mode, self.layout)
        return (self.spread_to_windows(dy, taps),)


@op
class AveragePool(Pool):
    """The mean of each window: of its elements in the input, or of those in the input and its
    padding (`count_include_pad`).

    What a window of `ceil_mode` sees beyond the padding never counts; a window in which nothing
    counts gives NaN.
    """

    count_include_pad: bool = False

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        return super().infer()

    def reference(self, x: Array) -> Array:
        windows = self.windows()
        first = widened(channels_first(x, self.layout))
        total = sum(part for _, part in taps_of(first, windows, 0))
        counts = np.ones(())
        for window in windows:
            counts = np.multiply.outer(counts, _taps_that_count(window, self.count_include_pad))
        with np.errstate(invalid="ignore"):
            return in_layout(np.asarray(total / counts), self.layout).astype(x.dtype)

    def body(self, at: Indices, x: Element) -> Expr:
        _, _, position = split_index(at, self.layout)
        total = self.over_window("sum", at, x)
        counts: Expr = index(1)
        for window, place in zip(self.windows(), position, strict=True):
            counts = counts * self._count(window, place)
        if isinstance(counts, Const):
            return cast(total / counts.value, self.x.dtype)
        return cast(total / cast(counts, total.dtype), self.x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (self.spread_to_windows(dy / self._counts(), None),)

    def _counts(self) -> Scalar | Value:
        """How many elements count in each window: one number, if it is the same for all."""
        known = all(isinstance(window.size, int) for window in self.windows())
        message = "the gradient of a mean over windows depends on named sizes; give them values"
        check(known, message, UnsupportedError)
        counts = np.ones(())
        for window in self.windows():
            counts = np.multiply.outer(counts, _taps_that_count(window, self.count_include_pad))
        if counts.size and np.all(counts == counts.flat[0]):
            return float(counts.flat[0])
        # A window in which nothing counts gives nothing back, and should not divide by 0.
        shaped = in_layout(np.maximum(counts, 1)[None, None], self.layout)
        return constant(ConstantData.of(shaped.astype(self.x.dtype.numpy)))

    def _count(self, window: Window, position: Expr) -> Expr:
        """How many taps of the window at `position` count, along one axis."""
        low, high = (window.low, window.high) if self.count_include_pad else (0, 0)
        if window.low <= low and window.excess <= high:
            return index(window.taps)
        start = position * window.stride - window.low

        def taps_before(limit: int) -> Expr:
            return -((start - limit) // window.dilation)

        first = apply("max", taps_before(-low), index(0))
        end = apply("min", taps_before(window.known_size + high), index(window.taps))
        return apply("max", end - first, index(0))


def _taps_that_count(window: Window, count_include_pad: bool) -> Array:
    """For each window along an axis, how many of its taps count in the mean."""
    low, high = (window.low, window.high) if count_include_pad else (0, 0)
    (windows,) = counts_of((window,))
    starts = np.arange(windows)[:, None] * window.stride - window.low
    seen = starts + np.arange(window.taps) * window.dilation
    return np.asarray(((seen >= -low) & (seen < window.known_size + high)).sum(1), np.float64)


def max_pool(
    x: Operand,
    kernel: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    dilations: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    layout: str = "nchw",
) -> Value:
    """The maximum over windows; `strides` default to the kernel, as in torch. See `MaxPool`."""
    value = as_value(x)
    windows = _given_windows(value.rank - 2, kernel, strides, padding, dilations)
    return emit(MaxPool(value, *windows, ceil_mode, layout))


def average_pool(
    x: Operand,
    kernel: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    dilations: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    layout: str = "nchw",
) -> Value:
    """The mean over windows; `strides` default to the kernel and padding counts, as in torch.

    See `AveragePool`.
    """
    value = as_value(x)
    windows = _given_windows(value.rank - 2, kernel, strides, padding, dilations)
    return emit(AveragePool(value, *windows, ceil_mode, layout, count_include_pad))


def _given_windows(
    count: int,
    kernel: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: int | Sequence[int | tuple[int, int]],
    dilations: int | Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], Padding, tuple[int, ...]]:
    """Sizes, strides, padding and dilations for each of `count` axes, from what a user writes."""
    sizes = per_axis(kernel, count)
    steps = sizes if strides is None else per_axis(strides, count)
    return sizes, steps, padding_pairs(padding, count), per_axis(dilations, count)


def global_average_pool(x: Operand) -> Value:
    """The mean over all spatial axes of `(batch, channels, *size)`, which stay with size 1."""
    value = as_value(x)
    return mean(value, tuple(range(2, value.rank)), keepdims=True)


def global_max_pool(x: Operand) -> Value:
    """The maximum over all spatial axes of `(batch, channels, *size)`, which stay with size 1."""
    value = as_value(x)
    return max_(value, tuple(range(2, value.rank)), keepdims=True)


OPS: tuple[type[Op], ...] = (MaxPool, AveragePool)
