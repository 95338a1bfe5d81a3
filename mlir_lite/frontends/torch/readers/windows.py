"""Convolutions, pools, and the windows of images by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import ConstantData, Value
from ....ops.base.constant import constant
from ....ops.shapes.slice import slice_axis
from ....ops.windows.window_taps import window_taps
from ....ops.windows.windows import padding_pairs
from ....types import Array, TensorType, i64
from .typed import Reader, Typed

Sizes = int | Sequence[int]


def spread(sizes: Sizes, rank: int) -> tuple[int, ...]:
    """A number for each spatial axis; one number stands for all."""
    found = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return found * rank if len(found) == 1 else found


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


def _batched(rank: int, read: Callable[[Value], Value]) -> Callable[[Value], Value]:
    """The function of one image too, which has no batch."""

    def of(x: Value) -> Value:
        if x.rank == rank + 2:
            return read(x)
        return ops.squeeze(read(ops.expand_dims(x, 0)), 0)

    return of


def average_pool(rank: int) -> Reader:
    """The reader of means over windows."""

    def read(
        x: Value,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor: int | None = None,
    ) -> Value:
        window = spread(kernel, rank)
        check(divisor is None or not ceil_mode, "a divisor with ceil_mode", UnsupportedError)
        pool = _batched(
            rank,
            lambda images: ops.average_pool(
                images,
                window,
                strides=spread(stride or window, rank),
                padding=spread(padding, rank),
                ceil_mode=ceil_mode,
                count_include_pad=count_include_pad or divisor is not None,
            ),
        )
        y = pool(x)
        return y if divisor is None else y * (math.prod(window) / divisor)

    return read


def max_pool(rank: int) -> Reader:
    """The reader of the largest in windows."""

    def read(
        x: Value,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> Value:
        window = spread(kernel, rank)
        pool = _batched(
            rank,
            lambda images: ops.max_pool(
                images,
                window,
                strides=spread(stride or window, rank),
                padding=spread(padding, rank),
                dilations=spread(dilation, rank),
                ceil_mode=ceil_mode,
            ),
        )
        return pool(x)

    return read


def max_pool_with_indices(rank: int) -> Reader:
    """The reader of the largest in windows, and where it is in the image, counted row by row."""

    def read(
        x: Value,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> tuple[Value, ...]:
        y = max_pool(rank)(x, kernel, stride, padding, dilation, ceil_mode)
        # Indices of named sizes are left out, and of integers, which have no gradients.
        if not all(isinstance(size, int) for size in x.shape[-rank:]) or not x.dtype.is_float:
            return (y,)
        if x.rank == rank + 1:
            found = read(ops.expand_dims(x, 0), kernel, stride, padding, dilation, ceil_mode)
            return tuple(ops.squeeze(part, 0) for part in found)
        window, pads, dilations = (spread(given, rank) for given in (kernel, padding, dilation))
        strides = spread(stride or window, rank)
        pairs = padding_pairs(pads, rank)
        taps = window_taps(x, y, window, strides, pairs, dilations, ceil_mode, "nchw")
        rest, place = ops.cast(taps, i64), ops.zeros((), i64)
        axes = zip(
            first_elements(y, strides, pads), linear_steps(x, rank), window, dilations,
            strict=True,
        )  # fmt: skip
        for start, step, extent, by in reversed(list(axes)):
            place = place + (start + rest % extent * by) * step
            rest = ops.floor_divide(rest, extent)
        return y, place

    return read


def first_elements(y: Value, strides: Sequence[int], pads: Sequence[int]) -> list[Value]:
    """Where each window of an image begins, along each axis; shaped to broadcast with `y`."""
    rank = len(strides)
    starts = []
    for axis, (stride, pad) in enumerate(zip(strides, pads, strict=True), 2):
        along = ops.iota(y.shape[axis], i64) * stride - pad
        starts.append(ops.reshape(along, (y.shape[axis], *(1,) * (rank + 1 - axis))))
    return starts


def linear_steps(x: Value, rank: int) -> list[int]:
    """How many elements of an image lie between neighbours along each axis."""
    sizes = _numbers(x, rank)
    return [math.prod(sizes[axis + 1 :]) for axis in range(rank)]


def adaptive_average_pool(rank: int) -> Reader:
    """The reader of means over as many windows as the result has places."""

    def read(x: Value, shape: Sizes) -> Value:
        axes = tuple(range(-rank, 0))
        wanted = spread(shape, rank)
        if set(wanted) == {1}:
            return ops.mean(x, axes, keepdims=True)
        extents = _numbers(x, rank)
        if all(extent % size == 0 for extent, size in zip(extents, wanted, strict=True)):
            window = [extent // size for extent, size in zip(extents, wanted, strict=True)]
            return _batched(rank, lambda images: ops.average_pool(images, window))(x)
        for axis, extent, size in zip(axes, extents, wanted, strict=True):
            weights = _averages(extent, size).astype(x.dtype.numpy)
            moved = ops.matmul(ops.moveaxis(x, axis, -1), constant(ConstantData.of(weights)))
            x = ops.moveaxis(moved, -1, axis)
        return x

    return read


def adaptive_max_pool(rank: int) -> Reader:
    """The reader of the largest in as many windows as the result has places."""

    def read(x: Value, shape: Sizes) -> tuple[Value, ...]:
        wanted = spread(shape, rank)
        for axis, size in zip(range(-rank, 0), wanted, strict=True):
            if size == 1:
                x = ops.max(x, axis, keepdims=True)
                continue
            extent = _numbers(x, rank)[axis]
            parts = [
                ops.max(slice_axis(x, axis, first, last - first), axis, keepdims=True)
                for first, last in _windows(extent, size)
            ]
            x = ops.concat(parts, axis)
        return (x,)

    return read


def _numbers(x: Value, rank: int) -> tuple[int, ...]:
    """The sizes of an image, which windows of it must know."""
    sizes = x.shape[x.rank - rank :]
    numbers = tuple(size for size in sizes if isinstance(size, int))
    shown = " x ".join(map(str, sizes))
    check(len(numbers) == rank, f"so many windows of an image of {shown}", UnsupportedError)
    return numbers


def _windows(extent: int, size: int) -> list[tuple[int, int]]:
    """Where each window begins and ends."""
    return [(at * extent // size, -(-(at + 1) * extent // size)) for at in range(size)]


def _averages(extent: int, size: int) -> Array:
    """The matrix `(extent, size)` of the means of windows."""
    matrix = np.zeros((extent, size))
    for at, (first, last) in enumerate(_windows(extent, size)):
        matrix[first:last, at] = 1 / (last - first)
    return matrix


def im2col(x: Value, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Value:
    """The windows of images as columns: `(batch, channels * taps, places)`."""
    window, steps, pads, strides = (spread(s, 2) for s in (kernel, dilation, padding, stride))
    padded = ops.pad(x, [(0, 0)] * (x.rank - 2) + [(width, width) for width in pads])
    sizes = _numbers(padded, 2)
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
    "aten._adaptive_avg_pool2d": adaptive_average_pool(2),
    "aten._adaptive_avg_pool3d": adaptive_average_pool(3),
    "aten.adaptive_avg_pool1d": adaptive_average_pool(1),
    "aten.adaptive_avg_pool2d": adaptive_average_pool(2),
    "aten.adaptive_avg_pool3d": adaptive_average_pool(3),
    "aten.adaptive_max_pool1d": adaptive_max_pool(1),
    "aten.adaptive_max_pool2d": adaptive_max_pool(2),
    "aten.adaptive_max_pool3d": adaptive_max_pool(3),
    "aten.avg_pool1d": average_pool(1),
    "aten.avg_pool2d": average_pool(2),
    "aten.avg_pool3d": average_pool(3),
    "aten.convolution": convolution,
    "aten.im2col": im2col,
    "aten.max_pool1d": max_pool(1),
    "aten.max_pool2d": max_pool(2),
    "aten.max_pool2d_with_indices": max_pool_with_indices(2),
    "aten.max_pool3d": max_pool(3),
    "aten.max_pool3d_with_indices": max_pool_with_indices(3),
    "aten.unfold": Typed(unfold),
}
