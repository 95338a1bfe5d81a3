"""Readers of ONNX's poolings, whose windows are told as those of convolutions are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from .... import ops
from ....errors import ParseError, check
from ....expr import COMBINERS
from ....ir import Value
from ....ops.shapes.slice import slice_axes
from ....sizes import static
from ..call import Call, Results
from .nn import Padding, padding, spatial, spatial_rank


def max_pool(call: Call) -> Results:
    """The largest element of each window and, if the model asks, its place in the whole tensor."""
    x = call.value(0)
    kernel, strides, pads, dilations = _windows(call, x)
    largest = ops.max_pool(
        x,
        kernel,
        strides=strides,
        padding=pads,
        dilations=dilations,
        ceil_mode=bool(call.int_("ceil_mode", 0)),
    )
    if not call.wants(1):
        return largest
    counts = static(largest.shape[2:])
    tap = _largest_tap(x, counts, kernel, strides, pads, dilations)
    return largest, _places(call, x, tap, kernel, strides, pads, dilations)


def _largest_tap(
    x: Value,
    counts: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Padding,
    dilations: Sequence[int],
) -> Value:
    """Which tap of its window, in row-major order, is the first that is largest."""
    size = static(x.shape[2:])
    reach = [
        (count - 1) * stride + dilation * (k - 1) + 1
        for count, stride, dilation, k in zip(counts, strides, dilations, kernel, strict=True)
    ]
    high = [
        max(0, far - extent - low) for far, extent, (low, _) in zip(reach, size, pads, strict=True)
    ]
    widths = [(0, 0), (0, 0), *((low, end) for (low, _), end in zip(pads, high, strict=True))]
    lowest = COMBINERS["max"].identity[0](x.dtype)
    padded = ops.pad(x, widths, "constant", lowest)
    seen = [
        slice_axes(
            padded,
            (0, 0, *(t * dilation for t, dilation in zip(taps, dilations, strict=True))),
            (*x.shape[:2], *counts),
            (1, 1, *strides),
        )
        for taps in product(*map(range, kernel))
    ]
    return ops.argmax(ops.stack(seen, 0), 0)


def _places(
    call: Call,
    x: Value,
    tap: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Padding,
    dilations: Sequence[int],
) -> Value:
    """The place of each maximum in the whole tensor, counted in row-major order; with
    `storage_order` the spatial axes are counted in column-major order."""
    size = (1, *static(x.shape[1:]))  # how many images there are counts for none of the steps
    spatial_axes = list(range(2, x.rank))
    order = [0, 1, *(spatial_axes[::-1] if call.int_("storage_order", 0) else spatial_axes)]
    step = dict.fromkeys(order, 1)
    for before, axis in zip(reversed(order[:-1]), reversed(order[1:]), strict=True):
        step[before] = step[axis] * size[axis]
    offsets = [
        sum(
            t * dilation * step[axis]
            for t, dilation, axis in zip(taps, dilations, spatial_axes, strict=True)
        )
        for taps in product(*map(range, kernel))
    ]
    place = ops.gather(np.array(offsets, np.int64), tap, 0)
    for axis in range(x.rank):
        stride, low = (1, 0) if axis < 2 else (strides[axis - 2], pads[axis - 2][0])
        first = (ops.iota(tap.shape[axis]) * stride - low) * step[axis]
        others = tuple(other for other in range(x.rank) if other != axis)
        place = ops.add(place, ops.expand_dims(first, others))
    return place


def average_pool(call: Call) -> Results:
    """The mean of each window, padding counted if the attribute says so."""
    x = call.value(0)
    kernel, strides, pads, dilations = _windows(call, x)
    return ops.average_pool(
        x,
        kernel,
        strides=strides,
        padding=pads,
        dilations=dilations,
        ceil_mode=bool(call.int_("ceil_mode", 0)),
        count_include_pad=bool(call.int_("count_include_pad", 0)),
    )


def lp_pool(call: Call) -> Results:
    """`(sum |x|^p)^(1/p)` over windows: the mean, which counts padding, times the window."""
    x = call.value(0)
    p = exponent(call)
    kernel, strides, pads, dilations = _windows(call, x)
    powers = ops.power(ops.absolute(x), p)
    means = ops.average_pool(
        powers,
        kernel,
        strides=strides,
        padding=pads,
        dilations=dilations,
        ceil_mode=bool(call.int_("ceil_mode", 0)),
        count_include_pad=True,
    )
    window = 1
    for extent in kernel:
        window *= extent
    return ops.power(ops.multiply(means, float(window)), 1 / p)


def exponent(call: Call) -> float:
    """The `p` of a norm, which is a float in version 1."""
    p = call.float_("p", 2.0) if call.version == 1 else float(call.int_("p", 2))
    check(p > 0, f"the norm with p={p}", ParseError)
    return p


def _windows(
    call: Call, x: Value
) -> tuple[tuple[int, ...], tuple[int, ...], Padding, tuple[int, ...]]:
    """Kernel, strides, padding and dilations of a pooling."""
    count = spatial_rank(call)
    check(call.ints("kernel_shape"), "the attribute 'kernel_shape' is missing", ParseError)
    kernel = spatial(call, "kernel_shape", count, 1)
    strides = spatial(call, "strides", count, 1)
    dilations = spatial(call, "dilations", count, 1)
    pads = padding(call, x.shape[2:], kernel, strides, dilations)
    return kernel, strides, pads, dilations


def global_average_pool(call: Call) -> Results:
    """The mean over all spatial axes, which stay, of size 1."""
    return ops.global_average_pool(call.value(0))


def global_max_pool(call: Call) -> Results:
    """The largest element over all spatial axes, which stay, of size 1."""
    return ops.global_max_pool(call.value(0))
