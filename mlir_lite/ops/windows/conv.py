"""Convolutions of any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import check
from ...expr import Expr, cast, index
from ...ir import Element, Op, Operand, Value, op
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, reduce_over
from ..base.elements import Gradients, emit
from ..base.factors import check_factors, rounded_arrays, rounded_elements
from ..base.promote import as_value, as_values, check_kind, product_type
from ..reductions.reduce import widened
from ..shapes.shape import reshape
from .conv_gradient import input_gradient, weight_gradient
from .over_windows import LaidOut
from .windows import (
    Padding,
    Windows,
    batch_of,
    channels_first,
    channels_of,
    check_layout,
    counts_of,
    in_layout,
    named_padding,
    padding_pairs,
    per_axis,
    read_window,
    shape_in,
    sources,
    spatial_of,
    split_index,
    taps_of,
    windows_of,
)

ALGORITHMS = ("direct", "winograd2", "winograd4")


@op
class Conv(LaidOut):
    """Convolution (cross-correlation): `(batch, in, *size) x (out, in / groups, *kernel)`.

    One stride, dilation and (low, high) zero padding per spatial axis; the weight has the same
    layout whatever that of `x` is. Half-width floats are summed in f32, integers in their own
    type; u8 by i8 gives i32. `algorithm` says how it is computed: "direct", "winograd2" or
    "winograd4" (Lavin and Gray, 2016); `factors`, to what those of f32 are rounded (see `Matmul`).
    """

    x: Value
    weight: Value
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    groups: int = 1
    layout: str = "nchw"
    algorithm: str = "direct"
    factors: str = "f32"

    def infer(self) -> TensorType:
        x, weight = self.x.type, self.weight.type
        check_kind(self.x, "fiu")
        total = product_type(self.x, self.weight)
        check_factors(self.factors, total)
        check_layout(x, self.layout)
        check(self.algorithm in ALGORITHMS, f'there is no algorithm "{self.algorithm}"')
        check(weight.rank == x.rank, f"the weight has rank {weight.rank}, the input {x.rank}")
        out, per_group = weight.static_shape[:2]
        channels = channels_of(x.shape, self.layout)
        check(
            self.groups > 0 and channels == per_group * self.groups,
            f"{channels} input channels; the weight takes {per_group} in {self.groups} groups",
        )
        check(out % self.groups == 0, f"{out} output channels in {self.groups} groups")
        plain = self.algorithm == "direct" or self.has_winograd
        check(plain, f'"{self.algorithm}" is for 3×3 filters, unit steps and one group')
        counts = [window.count for window in self.windows()]
        return TensorType(shape_in(batch_of(x.shape, self.layout), out, counts, self.layout), total)

    def windows(self) -> Windows:
        """The windows along each spatial axis."""
        return windows_of(
            spatial_of(self.x.shape, self.layout),
            self.weight.type.static_shape[2:],
            self.strides,
            self.padding,
            self.dilations,
        )

    @property
    def has_winograd(self) -> bool:
        """Whether the Winograd algorithms are for this convolution."""
        plain = (*self.strides, *self.dilations, self.groups) == (1, 1, 1, 1, 1)
        return plain and tuple(self.weight.shape[2:]) == (3, 3)

    def reference(self, x: Array, weight: Array) -> Array:
        total = product_type(self.x, self.weight).numpy
        operands = (channels_first(x, self.layout), weight)
        same = (operand.astype(total, copy=False) for operand in operands)
        first, filters = map(widened, rounded_arrays(self.factors, *same))
        y = convolve(first, filters, self.windows(), self.groups)
        return in_layout(y, self.layout).astype(total)

    def body(self, at: Indices, x: Element, weight: Element) -> Expr:
        batch, channel, position = split_index(at, self.layout)
        out, per_group, *kernel = weight.type.static_shape
        dtype = product_type(self.x, self.weight)
        windows, wide = self.windows(), computing_type(dtype)
        x, weight = rounded_elements(self.factors, x, weight)
        first = channel // (out // self.groups) * per_group if self.groups > 1 else index(0)

        def element(*along: Expr) -> Expr:
            *taps, c = along
            source = sources(windows, position, tuple(taps))
            seen = read_window(x, batch, first + c, source, windows, self.layout, 0)
            return cast(seen, wide) * cast(weight[(channel, c, *taps)], wide)

        axes = {f"k{axis}": extent for axis, extent in enumerate(kernel)} | {"c": per_group}
        return cast(reduce_over("sum", axes, element), dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        kernel = self.weight.type.static_shape[2:]
        return (
            input_gradient(self, dy, self.weight, self.x),
            weight_gradient(self, self.x, dy, kernel),
        )


def convolve(x: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """The convolution of a channels-first array, as a matrix product for each tap."""
    out, per_group = weight.shape[:2]
    counts = counts_of(windows)
    positions = int(np.prod(counts))
    total = np.zeros((x.shape[0], groups, out // groups, positions), x.dtype)
    by_taps = np.moveaxis(weight, (0, 1), (-2, -1))
    for taps, seen in taps_of(x, windows, 0):
        grouped = seen.reshape(x.shape[0], groups, per_group, positions)
        total += by_taps[taps].reshape(groups, out // groups, per_group) @ grouped
    return total.reshape(x.shape[0], out, *counts)


def add_channels(x: Value, bias: Operand | None, layout: str) -> Value:
    """`x` with a number added to each channel."""
    if bias is None:
        return x
    value = as_value(bias)
    channels = channels_of(x.shape, layout)
    check(value.shape == (channels,), f"the bias is {value.type}, for {channels} channels")
    shape = shape_in(1, channels, (1,) * (x.rank - 2), layout)
    return x + (value if layout == "nhwc" else reshape(value, shape))


def conv(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[int | tuple[int, int]] = 0,
    dilations: int | Sequence[int] = 1,
    groups: int = 1,
    layout: str = "nchw",
) -> Value:
    """Convolution over one or more spatial axes, with one bias per output channel; see `Conv`.

    `padding` is numbers, (low, high) pairs, or as in torch "valid" or "same".
    """
    value, filters = as_values(x, weight)
    count = value.rank - 2
    steps, gaps = per_axis(strides, count), per_axis(dilations, count)
    if isinstance(padding, str):
        padding = named_padding(padding, filters.type.static_shape[2:], steps, gaps)
    found = Conv(
        value,
        filters,
        steps,
        padding_pairs(padding, count),
        gaps,
        groups,
        layout,
    )
    return add_channels(emit(found), bias, layout)


def conv1d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Value:
    """`torch.nn.functional.conv1d`: `(batch, in, width) x (out, in / groups, taps)`."""
    return _conv_over(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Value:
    """`torch.nn.functional.conv2d`: `(batch, in, h, w) x (out, in / groups, kh, kw)`."""
    return _conv_over(2, x, weight, bias, stride, padding, dilation, groups)


def conv3d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Value:
    """`torch.nn.functional.conv3d`: `(batch, in, d, h, w) x (out, in / groups, kd, kh, kw)`."""
    return _conv_over(3, x, weight, bias, stride, padding, dilation, groups)


def _conv_over(
    spatial: int,
    x: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: int | Sequence[int],
    padding: str | int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
) -> Value:
    value, filters = as_values(x, weight)
    check(value.rank == spatial + 2, f"conv{spatial}d takes rank {spatial + 2}, not {value.type}")
    return conv(
        value, filters, bias, strides=stride, padding=padding, dilations=dilation, groups=groups
    )


OPS: tuple[type[Op], ...] = (Conv,)
