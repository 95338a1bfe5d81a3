"""Convolutions, and the windows of images by themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

from .... import ops
from ....ir import Value
from ....ops.shapes.slice import slice_axis
from ....types import TensorType
from .typed import Reader, Typed
from .windows import Sizes, numbers, spread


def convolution(
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Value:
    """All convolutions, and those that go back."""
    rank = weight.rank - 2
    strides, pads, dilations = (spread(given, rank) for given in (stride, padding, dilation))
    if not transposed:
        return ops.conv(
            x, weight, bias, strides=strides, padding=pads, dilations=dilations, groups=groups
        )
    return ops.conv_transpose(
        x,
        weight,
        bias,
        strides=strides,
        padding=pads,
        output_padding=spread(output_padding, rank),
        dilations=dilations,
        groups=groups,
    )


def im2col(x: Value, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Value:
    """The windows of images as columns: `(batch, channels * taps, places)`."""
    window, steps, pads, strides = (spread(s, 2) for s in (kernel, dilation, padding, stride))
    padded = ops.pad(x, [(0, 0)] * (x.rank - 2) + [(width, width) for width in pads])
    sizes = numbers(padded, 2)
    extents = zip(sizes, window, steps, strides, strict=True)
    places = [(size - step * (taps - 1) - 1) // by + 1 for size, taps, step, by in extents]
    parts = []
    for taps in product(*map(range, window)):
        part = padded
        for axis, tap, step, by, count in zip((-2, -1), taps, steps, strides, places, strict=True):
            part = slice_axis(part, axis, tap * step, count, by)
        parts.append(part)
    columns = ops.stack(parts, -3)
    lead = x.shape[:-3]
    return ops.reshape(columns, (*lead, x.shape[-3] * math.prod(window), math.prod(places)))


def unfold(wanted: TensorType, x: Value, axis: int, size: int, step: int) -> Value:
    """Windows along one axis, each as a new last axis."""
    if x.rank == 0:
        return ops.reshape(x, wanted.shape)
    count = wanted.shape[axis % x.rank]
    return ops.stack([slice_axis(x, axis, tap, count, step) for tap in range(size)], -1)


READERS: Mapping[str, Reader | Typed] = {
    "aten.convolution": convolution,
    "aten.im2col": im2col,
    "aten.unfold": Typed(unfold),
}
