"""Transposed convolutions: what carries a convolution's gradient back, and what upsamples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import product

import numpy as np

from ...errors import check
from ...expr import Expr, all_of, cast, const, index, select
from ...ir import Element, Op, Operand, Value, op
from ...sizes import Size, static
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, reduce_over
from ..base.elements import Gradients, emit
from ..base.promote import as_values, check_kind, check_same_dtype
from ..reductions.reduce import widened
from ..shapes.slice import slice_axes
from .conv import add_channels
from .conv_gradient import convolved, weight_gradient
from .over_windows import LaidOut
from .windows import (
    Padding,
    batch_of,
    channels_first,
    channels_of,
    check_layout,
    check_per_axis,
    in_layout,
    join_index,
    padding_pairs,
    per_axis,
    shape_in,
    spatial_of,
    split_index,
)


@op
class ConvTranspose(LaidOut):
    """Transposed convolution: `(batch, in, *size) x (in, out / groups, *kernel)`.

    Element `i` adds its products with the kernel to the result from `i * stride - low` on, in
    steps of the dilation: the gradient of `Conv` with respect to its input. `padding` cuts off
    both ends of the result, `output_padding` adds to the high one.
    """

    x: Value
    weight: Value
    strides: tuple[int, ...]
    padding: Padding
    output_padding: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int = 1
    layout: str = "nchw"

    def infer(self) -> TensorType:
        x, weight = self.x.type, self.weight.type
        check_kind(self.x, "fiu")
        check_same_dtype(self.x, self.weight)
        check_layout(x, self.layout)
        check(weight.rank == x.rank, f"the weight has rank {weight.rank}, the input {x.rank}")
        inner, per_group, *kernel = weight.static_shape
        channels = channels_of(x.shape, self.layout)
        check(channels == inner, f"{channels} input channels; the weight takes {inner}")
        check(
            self.groups > 0 and inner % self.groups == 0,
            f"{inner} input channels in {self.groups} groups",
        )
        check_per_axis(x.rank - 2, kernel, self.strides, self.padding, self.dilations)
        check(
            len(self.output_padding) == x.rank - 2 and min(self.output_padding) >= 0,
            f"{x.rank - 2} spatial axes and an output padding of {self.output_padding}",
        )
        spatial = self._uncut(kernel)
        for axis, (low, high) in enumerate(self.padding):
            spatial[axis] = spatial[axis] - (low + high)
            left = spatial[axis]
            check(not isinstance(left, int) or left >= 0, f"nothing is left of axis {axis}")
        batch = batch_of(x.shape, self.layout)
        shape = shape_in(batch, per_group * self.groups, spatial, self.layout)
        return x.with_shape(shape)

    def _uncut(self, kernel: Sequence[int]) -> list[Size]:
        """The spatial sizes of the result before its padding is cut off."""
        sizes = spatial_of(self.x.shape, self.layout)
        return [
            (size - 1) * stride + (dilation * (taps - 1) + 1 + extra)
            for size, taps, stride, dilation, extra in zip(
                sizes, kernel, self.strides, self.dilations, self.output_padding, strict=True
            )
        ]

    def reference(self, x: Array, weight: Array) -> Array:
        first, factors = widened(channels_first(x, self.layout)), widened(weight)
        batch, inner, *sizes = first.shape
        _, per_group, *kernel = weight.shape
        each = inner // self.groups
        total = np.zeros(
            (batch, self.groups * per_group, *static(self._uncut(kernel))), first.dtype
        )
        grouped = first.reshape(batch, self.groups, each, int(np.prod(sizes)))
        by_taps = np.moveaxis(factors, (0, 1), (-2, -1))
        for taps in product(*map(range, kernel)):
            factor = by_taps[taps].reshape(self.groups, each, per_group).swapaxes(1, 2)
            reached = tuple(
                slice(tap * dilation, tap * dilation + (size - 1) * stride + 1, stride)
                for tap, dilation, stride, size in zip(
                    taps, self.dilations, self.strides, sizes, strict=True
                )
            )
            part = (factor @ grouped).reshape(batch, self.groups * per_group, *sizes)
            total[:, :, *reached] += part
        kept = tuple(
            slice(low, extent - high)
            for (low, high), extent in zip(self.padding, total.shape[2:], strict=True)
        )
        y = total[:, :, *kept]
        return in_layout(y, self.layout).astype(x.dtype)

    def body(self, at: Indices, x: Element, weight: Element) -> Expr:
        batch, channel, position = split_index(at, self.layout)
        inner, per_group, *kernel = weight.type.static_shape
        each, wide = inner // self.groups, computing_type(self.x.dtype)
        first = channel // per_group * each if self.groups > 1 else index(0)

        def element(*along: Expr) -> Expr:
            *taps, c = along
            source, there = self._sources(position, taps)
            place = join_index(batch, first + c, source, self.layout)
            seen = select(there, x[place], const(0, x.type.dtype))
            return cast(seen, wide) * cast(weight[(first + c, channel % per_group, *taps)], wide)

        axes = {f"k{axis}": extent for axis, extent in enumerate(kernel)} | {"c": each}
        return cast(reduce_over("sum", axes, element), self.x.dtype)

    def _sources(self, position: Indices, taps: Sequence[Expr]) -> tuple[list[Expr], Expr]:
        """Which element reaches `position` by each tap, and the condition that there is one."""
        sizes = static(spatial_of(self.x.shape, self.layout))
        lows = [low for low, _ in self.padding]
        return spread_sources(position, taps, sizes, self.strides, self.dilations, lows)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        unseen, geometry = self._reached()
        seen = self._without(unseen, dy)
        kernel = self.weight.type.static_shape[2:]
        return convolved(geometry, seen, self.weight), weight_gradient(
            geometry, seen, self.x, kernel
        )

    def _reached(self) -> tuple[list[int], ConvTranspose]:
        """How much of the result's high ends to leave out, and the geometry of the convolution
        that then has a window for each element of `x`.

        Whole steps of output padding would give it further windows. They end in what no element
        of `x` reaches, as far as the padding does not cut that off itself.
        """
        unseen, padding = [], []
        for extra, stride, (low, high) in zip(
            self.output_padding, self.strides, self.padding, strict=True
        ):
            steps = extra // stride * stride
            cut = min(steps, max(0, extra - high))
            unseen.append(cut)
            padding.append((low, high - (steps - cut)))
        return unseen, dataclasses.replace(self, padding=tuple(padding))

    def _without(self, unseen: Sequence[int], y: Value) -> Value:
        """The result without these many elements at the high ends."""
        sizes = zip(spatial_of(y.shape, self.layout), unseen, strict=True)
        channels = channels_of(y.shape, self.layout)
        batch, left = batch_of(y.shape, self.layout), [size - less for size, less in sizes]
        kept = shape_in(batch, channels, left, self.layout)
        return slice_axes(y, (0,) * y.rank, kept)


def spread_sources(
    position: Indices,
    taps: Sequence[Expr],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    lows: Sequence[int],
) -> tuple[list[Expr], Expr]:
    """Which element of an input of these `sizes` reaches `position` by each tap of a transposed
    convolution, and the condition that there is one."""
    found: list[Expr] = []
    there: list[Expr] = []
    for at, tap, size, stride, dilation, low in zip(
        position, taps, sizes, strides, dilations, lows, strict=True
    ):
        distance = at + low - tap * dilation
        found.append(distance // stride)
        there += [distance >= 0, distance < size * stride]
        if stride > 1:
            there.append((distance % stride).eq(0))
    return found, all_of(*there)


def conv_transpose(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    output_padding: int | Sequence[int] = 0,
    dilations: int | Sequence[int] = 1,
    groups: int = 1,
    layout: str = "nchw",
) -> Value:
    """Transposed convolution, with one bias per output channel; see `ConvTranspose`."""
    value, filters = as_values(x, weight)
    count = value.rank - 2
    found = ConvTranspose(
        value,
        filters,
        per_axis(strides, count),
        padding_pairs(padding, count),
        per_axis(output_padding, count),
        per_axis(dilations, count),
        groups,
        layout,
    )
    return add_channels(emit(found), bias, layout)


OPS: tuple[type[Op], ...] = (ConvTranspose,)
