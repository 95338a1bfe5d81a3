"""Readers of the operators that read and write images at places: of detectors and decoders."""

from __future__ import annotations

from math import prod

import numpy as np

from .... import ops
from ....errors import ParseError, UnsupportedError, check
from ....ir import Value
from ....ops.base.promote import as_value as lift
from ....sizes import static
from ....types import i64
from ..call import Call, Results
from ..sizes import number
from .nn import spatial, spatial_rank
from .pool import exponent


def grid_sample(call: Call) -> Results:
    """Pixels at the places of a grid, whose coordinates go from -1 to 1."""
    # Before version 20 the modes of two axes had names of their own.
    mode = call.text("mode", "bilinear" if call.version < 20 else "linear")
    names = {"linear": "bilinear", "cubic": "bicubic"}
    return ops.grid_sample(
        call.value(0),
        call.value(1),
        mode=names.get(mode, mode),
        padding=call.text("padding_mode", "zeros"),
        align_corners=bool(call.int_("align_corners", 0)),
    )


def roi_align(call: Call) -> Results:
    """Boxes resampled to one size; `UnsupportedError` where how many samples depends on the box."""
    samples = call.int_("sampling_ratio", 0)
    check(
        samples > 0,
        "sampling_ratio=0 takes more samples of larger boxes; export it with sampling_ratio=2",
        UnsupportedError,
    )
    coordinates = "half_pixel" if call.version >= 16 else "output_half_pixel"
    return ops.roi_align(
        call.value(0),
        call.value(1),
        call.value(2),
        (call.int_("output_height", 1), call.int_("output_width", 1)),
        scale=call.float_("spatial_scale", 1.0),
        samples=samples,
        aligned=call.text("coordinate_transformation_mode", coordinates) == "half_pixel",
        mode=call.text("mode", "avg"),
    )


def max_roi_pool(call: Call) -> Results:
    """The largest pixel of each bin of each box, of whole pixels; 0 of a bin outside of the image.

    Girshick, "Fast R-CNN" (2015), and its own code for what is rounded and where.
    """
    x, boxes = call.value(0), call.value(1)
    counts = call.ints("pooled_shape") or ()
    fits = x.rank == 4 and boxes.rank == 2 and boxes.shape[1] == 5 and len(counts) == 2
    check(
        fits,
        f"takes images, boxes of 5 numbers and 2 sizes, not {x.type}, {boxes.type}",
        ParseError,
    )
    scale = call.float_("spatial_scale", 1.0)
    rows, columns = (
        _bins(boxes[:, first], boxes[:, first + 2], scale, count, size)
        for first, count, size in zip((2, 1), counts, static(x.shape[2:]), strict=True)
    )
    least = -np.inf
    images = ops.expand_dims(ops.gather(x, ops.cast(boxes[:, 0], i64)), 2)
    tall = ops.max(ops.where(ops.expand_dims(rows, (1, 4)), images, least), 3)
    wide = ops.where(ops.expand_dims(columns, (1, 2)), ops.expand_dims(tall, 3), least)
    full = ops.any(rows, -1), ops.any(columns, -1)
    there = ops.expand_dims(full[0], (1, 3)) & ops.expand_dims(full[1], (1, 2))
    return ops.where(there, ops.max(wide, -1), 0)


def _bins(start: Value, end: Value, scale: float, count: int, size: int) -> Value:
    """Which pixels along an axis belong to which bin of which box: `(boxes, count, size)`."""
    first, last = (_rounded(edge * scale) for edge in (start, end))
    length = ops.maximum(last - first + 1, 1) / count
    number = ops.cast(ops.iota(count), start.dtype)
    first, length = ops.expand_dims(first, 1), ops.expand_dims(length, 1)
    low = ops.expand_dims(ops.floor(number * length) + first, 2)
    high = ops.expand_dims(ops.ceil((number + 1) * length) + first, 2)
    pixel = ops.cast(ops.iota(size), start.dtype)
    return (pixel >= low) & (pixel < high)


def _rounded(x: Value) -> Value:
    """To the nearest whole number, halves away from 0."""
    return ops.where(x < 0, ops.ceil(x - 0.5), ops.floor(x + 0.5))


def deform_conv(call: Call) -> Results:
    """A convolution whose taps are moved by offsets and weighted by a mask."""
    count = spatial_rank(call)
    pads = call.ints("pads") or (0,) * (2 * count)
    return ops.deform_conv(
        call.value(0),
        call.value(1),
        call.value(2),
        call.optional(4),
        call.optional(3),
        strides=spatial(call, "strides", count, 1),
        padding=tuple(zip(pads[:count], pads[count:], strict=True)),
        dilations=spatial(call, "dilations", count, 1),
        groups=call.int_("group", 1),
    )


def max_unpool(call: Call) -> Results:
    """Zeros, and each element where MaxPool found it."""
    x, places = call.value(0), call.value(1)
    count = spatial_rank(call)
    kernel = spatial(call, "kernel_shape", count, 1)
    strides = spatial(call, "strides", count, 1)
    pads = call.ints("pads") or (0,) * (2 * count)
    sizes = [
        (size - 1) * stride + extent - pads[axis] - pads[axis + count]
        for axis, (size, stride, extent) in enumerate(
            zip(static(x.shape[2:]), strides, kernel, strict=True)
        )
    ]
    own = (*static(x.shape[:2]), *sizes)
    shape = own
    if call.has(2):
        shape = tuple(number(size, "the size") for size in call.integers(2))
    check(len(shape) == x.rank, f"a result of rank {len(shape)}", ParseError)
    # Places count in the result that is told by the windows; a larger one has it in its corner.
    empty = ops.zeros((prod(own),), x.dtype)
    flat = ops.scatter_elements(empty, ops.reshape(places, (-1,)), ops.reshape(x, (-1,)), 0)
    widths = [(0, size - inner) for size, inner in zip(shape, own, strict=True)]
    return ops.pad(ops.reshape(flat, own), widths)


def col2im(call: Call) -> Results:
    """The sum of blocks at their places: a transposed convolution by ones, one for each tap."""
    x = call.value(0)
    image = [number(size, "the image's size") for size in call.integers(1)]
    block = [number(size, "the block's size") for size in call.integers(2)]
    count = len(image)
    check(x.rank == 3 and len(block) == count, f"{count} axes of an image", ParseError)
    strides = call.ints("strides") or (1,) * count
    dilations = call.ints("dilations") or (1,) * count
    pads = call.ints("pads") or (0,) * (2 * count)
    padding = [(pads[axis], pads[axis + count]) for axis in range(count)]
    steps = [
        (size + sum(pad) - (extent - 1) * dilation - 1) // stride + 1
        for size, pad, extent, dilation, stride in zip(
            image, padding, block, dilations, strides, strict=True
        )
    ]
    batch, rows, columns = static(x.shape)
    taps = prod(block)
    fits = columns == prod(steps) and rows % taps == 0
    check(fits, f"blocks of shape {x.shape} do not fill the image", ParseError)
    ones = np.eye(taps).reshape(taps, 1, *block)
    weight = lift(np.tile(ones, (rows // taps, *(1,) * (count + 1))).astype(x.dtype.numpy))
    extra = [
        size + sum(pad) - ((step - 1) * stride + (extent - 1) * dilation + 1)
        for size, pad, step, stride, extent, dilation in zip(
            image, padding, steps, strides, block, dilations, strict=True
        )
    ]
    return ops.conv_transpose(
        ops.reshape(x, (batch, rows, *steps)),
        weight,
        strides=strides,
        padding=padding,
        output_padding=extra,
        dilations=dilations,
        groups=rows // taps,
    )


def global_lp_pool(call: Call) -> Results:
    """`(sum |x|^p)^(1/p)` over all of an image."""
    x = call.value(0)
    p = exponent(call)
    axes = tuple(range(2, x.rank))
    return ops.power(ops.sum(ops.power(ops.absolute(x), p), axes, keepdims=True), 1 / p)
