"""Depthwise convolutions, one filter a channel, in the order a channels-last kernel reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import check
from ...expr import Expr, cast, const, select
from ...ir import Element, Op, Value, constructor, op
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, reduce_over
from ..base.elements import Gradients
from ..base.promote import check_kind, product_type
from ..reductions.reduce import widened
from ..shapes.shape import reshape, transpose
from ..windows.conv import Conv
from ..windows.conv_transpose import ConvTranspose, spread_sources
from ..windows.windows import (
    Padding,
    Windows,
    channels_first,
    counts_of,
    in_layout,
    read_window,
    sources,
    taps_of,
    windows_of,
)


@op
class DepthwiseConv(Op):
    """Channels-last convolution of each channel by its own filter:
    `(batch, *size, channels) x (*kernel, channels) -> (batch, *size, channels)`.

    Half-width floats are summed in f32, integers in their own type; u8 by i8 gives i32.
    """

    x: Value
    taps: Value
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]

    def infer(self) -> TensorType:
        x, taps = self.x.type, self.taps.type
        check_kind(self.x, "fiu")
        total = product_type(self.x, self.taps)
        check(taps.rank == x.rank - 1, f"taps of rank {taps.rank}, an input of rank {x.rank}")
        check(x.shape[-1] == taps.shape[-1], f"{x.shape[-1]} channels, {taps.shape[-1]} filters")
        counts = [window.count for window in self.windows()]
        return TensorType((x.shape[0], *counts, x.shape[-1]), total)

    def windows(self) -> Windows:
        """The windows along each spatial axis."""
        kernel = self.taps.type.static_shape[:-1]
        size = self.x.shape[1:-1]
        return windows_of(size, kernel, self.strides, self.padding, self.dilations)

    def reference(self, x: Array, taps: Array) -> Array:
        total = product_type(self.x, self.taps).numpy
        first, filters = (
            widened(operand.astype(total, copy=False))
            for operand in (channels_first(x, "nhwc"), taps)
        )
        windows = self.windows()
        y = np.zeros((*first.shape[:2], int(np.prod(counts_of(windows)))), first.dtype)
        for place, seen in taps_of(first, windows, 0):
            y += seen.reshape(y.shape) * filters[place][:, None]
        shaped = y.reshape(*first.shape[:2], *counts_of(windows))
        return in_layout(shaped, "nhwc").astype(total)

    def body(self, at: Indices, x: Element, taps: Element) -> Expr:
        batch, *position, channel = at
        dtype = product_type(self.x, self.taps)
        windows, wide = self.windows(), computing_type(dtype)

        def element(*along: Expr) -> Expr:
            source = sources(windows, tuple(position), along)
            seen = read_window(x, batch, channel, source, windows, "nhwc", 0)
            return cast(seen, wide) * cast(taps[(*along, channel)], wide)

        kernel = taps.type.static_shape[:-1]
        axes = {f"k{axis}": extent for axis, extent in enumerate(kernel)}
        return cast(reduce_over("sum", axes, element), dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """Those of the convolution with as many groups as channels."""
        filters, channels = as_filters(self.taps), self.taps.type.static_shape[-1]
        like = Conv(
            self.x, filters, self.strides, self.padding, self.dilations, channels, "nhwc"
        )
        dx, dw = like.gradient(y, dy)
        assert dw is not None
        return dx, by_tap(dw)


@op
class DepthwiseConvTranspose(Op):
    """Channels-last transposed convolution of each channel by its own filter:
    `(batch, *size, channels) x (*kernel, channels) -> (batch, *size, channels)`.

    See `ConvTranspose`; half-width floats are summed in f32.
    """

    x: Value
    taps: Value
    strides: tuple[int, ...]
    padding: Padding
    output_padding: tuple[int, ...]

    def infer(self) -> TensorType:
        x, taps = self.x.type, self.taps.type
        check(taps.rank == x.rank - 1, f"taps of rank {taps.rank}, an input of rank {x.rank}")
        check(x.shape[-1] == taps.shape[-1], f"{x.shape[-1]} channels, {taps.shape[-1]} filters")
        return self._of_groups().infer()

    def reference(self, x: Array, taps: Array) -> Array:
        return self._of_groups().reference(x, np.moveaxis(taps, -1, 0)[:, None])

    def body(self, at: Indices, x: Element, taps: Element) -> Expr:
        batch, channel = at[0], at[-1]
        wide = computing_type(self.x.dtype)
        sizes = self.x.type.static_shape[1:-1]
        lows = [low for low, _ in self.padding]

        def element(*along: Expr) -> Expr:
            ones = (1,) * len(along)
            source, there = spread_sources(at[1:-1], along, sizes, self.strides, ones, lows)
            seen = select(there, x[(batch, *source, channel)], const(0, x.type.dtype))
            return cast(seen, wide) * cast(taps[(*along, channel)], wide)

        kernel = taps.type.static_shape[:-1]
        axes = {f"k{axis}": extent for axis, extent in enumerate(kernel)}
        return cast(reduce_over("sum", axes, element), self.x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """Those of the transposed convolution with as many groups as channels."""
        dx, dw = replace(self._of_groups(), weight=as_filters(self.taps)).gradient(y, dy)
        assert dw is not None
        return dx, by_tap(dw)

    def _of_groups(self) -> ConvTranspose:
        """The same with as many groups as channels, of filters that only have their type."""
        *kernel, channels = self.taps.type.static_shape
        filters = Value(self.taps.type.with_shape((channels, 1, *kernel)))
        ones = (1,) * len(self.strides)
        return ConvTranspose(
            self.x, filters, self.strides, self.padding, self.output_padding, ones, channels, "nhwc"
        )


def by_tap(filters: Value) -> Value:
    """Filters of one channel each, `(channels, 1, *kernel)`, as `(*kernel, channels)`."""
    channels, _, *kernel = filters.type.static_shape
    turned = transpose(filters, (*range(2, filters.rank), 0, 1))
    return reshape(turned, (*kernel, channels))


def as_filters(taps: Value) -> Value:
    """The way back from `by_tap`."""
    *kernel, channels = taps.type.static_shape
    return reshape(transpose(taps, (-1, *range(len(kernel)))), (channels, 1, *kernel))


depthwise_conv = constructor(DepthwiseConv)
depthwise_conv_transpose = constructor(DepthwiseConvTranspose)

OPS: tuple[type[Op], ...] = (DepthwiseConv, DepthwiseConvTranspose)
