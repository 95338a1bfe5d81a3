"""Readers of the operators that read and write images at places: of detectors and decoders."""

from __future__ import annotations

from math import prod

import numpy as np

from ... import ops
from ...errors import ParseError, UnsupportedError, check
from ...ops.promote import as_value as lift
from ...sizes import static
from .call import Call, Results
from .nn_ops import spatial, spatial_rank
from .sizes import number


def grid_sample(call: Call) -> Results:
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
    p = float(call.int_("p", 2))
    check(p > 0, f"the norm with p={p}", ParseError)
    axes = tuple(range(2, x.rank))
    return ops.power(ops.sum(ops.power(ops.absolute(x), p), axes, keepdims=True), 1 / p)
