"""Pools: means and maxima over windows of a size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.windows.window_taps import window_taps
from ....types import i64
from .typed import Reader
from .windows import Sizes, Steps, batched, linear_steps


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
        steps = Steps.of(rank, kernel, stride, padding, 1, ceil_mode)
        check(divisor is None or not ceil_mode, "a divisor with ceil_mode", UnsupportedError)

        def pool(images: Value) -> Value:
            return ops.average_pool(
                images,
                steps.window,
                strides=steps.strides,
                padding=steps.pads,
                ceil_mode=ceil_mode,
                count_include_pad=count_include_pad or divisor is not None,
            )

        y = batched(rank, pool)(x)
        return y if divisor is None else y * (math.prod(steps.window) / divisor)

    return read


def max_pool(rank: int) -> Reader:
    """The reader of the largest in windows."""

    def read(x: Value, *given: Any) -> Value:  # as `Steps.of` has them
        steps = Steps.of(rank, *given)
        return batched(rank, lambda images: _largest(images, steps))(x)

    return read


def max_pool_with_indices(rank: int) -> Reader:
    """The reader of the largest in windows, and where it is in the image, counted row by row."""

    def read(x: Value, *given: Any) -> tuple[Value, ...]:
        steps = Steps.of(rank, *given)
        y = batched(rank, lambda images: _largest(images, steps))(x)
        if not x.dtype.is_float:  # which has no gradient, and so no indices
            return (y,)
        return y, batched(rank, lambda images, largest: _found(images, largest, steps))(x, y)

    return read


def _largest(images: Value, steps: Steps) -> Value:
    return ops.max_pool(
        images,
        steps.window,
        strides=steps.strides,
        padding=steps.pads,
        dilations=steps.dilations,
        ceil_mode=steps.ceil_mode,
    )


def _found(images: Value, largest: Value, steps: Steps) -> Value:
    """Where in each image the largest of a window is."""
    taps = window_taps(
        images, largest, steps.window, steps.strides, steps.padding, steps.dilations,
        steps.ceil_mode, "nchw",
    )  # fmt: skip
    rest, place = ops.cast(taps, i64), ops.zeros((), i64)
    apart = linear_steps(images, len(steps.window))
    axes = zip(first_elements(largest, steps), apart, steps.window, steps.dilations, strict=True)
    for start, step, extent, by in reversed(list(axes)):
        place = place + (start + rest % extent * by) * step
        rest = ops.floor_divide(rest, extent)
    return place


def taps_of(x: Value, arrived: Value, indices: Value, steps: Steps) -> Value:
    """Which element of its window each of these places in the image is, counted row by row."""
    rank = len(steps.window)
    taps = ops.zeros(indices.shape, indices.dtype)
    axes = zip(
        first_elements(arrived, steps), linear_steps(x, rank), x.shape[2:], steps.window,
        steps.dilations, strict=True,
    )  # fmt: skip
    for start, step, size, extent, by in axes:
        along = ops.floor_divide(indices, step) % size - start
        taps = taps * extent + ops.floor_divide(along, by)
    return taps


def first_elements(y: Value, steps: Steps) -> list[Value]:
    """Where each window of an image begins, along each axis; shaped to broadcast with `y`."""
    rank = len(steps.window)
    starts = []
    for axis, (stride, pad) in enumerate(zip(steps.strides, steps.pads, strict=True), 2):
        along = ops.iota(y.shape[axis], i64) * stride - pad
        starts.append(ops.reshape(along, (y.shape[axis], *(1,) * (rank + 1 - axis))))
    return starts


READERS: Mapping[str, Reader] = {
    **{f"aten.avg_pool{n}d": average_pool(n) for n in (1, 2, 3)},
    **{f"aten.max_pool{n}d": max_pool(n) for n in (1, 2, 3)},
    **{f"aten.max_pool{n}d_with_indices": max_pool_with_indices(n) for n in (2, 3)},
}
