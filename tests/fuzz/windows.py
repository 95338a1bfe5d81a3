"""Steps over images: convolutions with all of their attributes, poolings, resizing."""

from __future__ import annotations

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.types import f32, f64

from .maker import Made, Maker, Step


def _image(m: Maker, layout: str, most: int = 3) -> Value:
    """Something with a batch, channels and one to three other axes."""
    fitting = [
        value
        for value in m.values
        if value.dtype in (f32, f64) and 3 <= value.rank <= 2 + most and 0 not in value.shape
    ]
    if fitting and m.chance(0.6):
        return m.random.choice(fitting[-4:])
    spatial = m.random.choices(range(1, most + 1), (2, 6, 1)[:most])[0]
    edge = {1: 33, 2: 17, 3: 7}[spatial]
    sizes = [m.size(edge) for _ in range(spatial)]
    channels = m.size(17 if m.chance(0.7) else 33)
    batch = m.random.choice((1, 1, 2, 3))
    shape = (batch, channels, *sizes) if layout == "nchw" else (batch, *sizes, channels)
    return m.fresh(shape, m.random.choice((f32, f32, f32, f64)), constant=0.1)


def _parts(x: Value, layout: str) -> tuple[int, tuple[int, ...]]:
    shape = x.type.static_shape
    return (shape[1], shape[2:]) if layout == "nchw" else (shape[-1], shape[1:-1])


def _groups(m: Maker, channels: int) -> int:
    divisors = [by for by in range(1, channels + 1) if channels % by == 0]
    return m.random.choices((1, m.random.choice(divisors), channels), (5, 2, 3))[0]


def _padding(m: Maker, kernel: tuple[int, ...], least: int = 0) -> list[tuple[int, int]]:
    if m.chance(0.4):
        return [(size // 2, size // 2) for size in kernel]
    low = -1 if least and m.chance(0.3) else 0
    return [(m.random.randint(low, 2), m.random.randint(0, 2)) for _ in kernel]


def conv(m: Maker) -> Made:
    layout = m.random.choice(("nchw", "nchw", "nhwc"))
    x = _image(m, layout)
    channels, sizes = _parts(x, layout)
    groups = _groups(m, channels)
    kernel = tuple(m.random.choice((1, 2, 3, 3, 3, 5)) for _ in sizes)
    if m.chance(0.4):
        kernel = (kernel[0],) * len(kernel)
    dilations = [m.random.choice((1, 1, 1, 2, 3)) for _ in sizes]
    strides = [m.random.choice((1, 1, 1, 2, 3)) for _ in sizes]
    padding = _padding(m, kernel)
    for size, k, d, (low, high) in zip(sizes, kernel, dilations, padding, strict=True):
        if size + low + high < (k - 1) * d + 1:
            return None
    out = groups * m.size(17 if groups < 5 else 2)
    weight = m.fresh((out, channels // groups, *kernel), x.dtype, low=-1, high=1, constant=0.6)
    bias = m.fresh((out,), x.dtype) if m.chance(0.5) else None
    made = ml.conv(
        x,
        weight,
        bias,
        strides=strides,
        padding=padding,
        dilations=dilations,
        groups=groups,
        layout=layout,
    )
    return made * 0.25 if m.chance(0.5) else made


def three_by_three(m: Maker) -> Made:
    """What Winograd's algorithm takes."""
    layout = m.random.choice(("nchw", "nhwc"))
    x = _image(m, layout, 2)
    if x.rank != 4:
        return None
    channels, sizes = _parts(x, layout)
    if min(sizes) < 3:
        return None
    weight = m.fresh((m.size(33), channels, 3, 3), x.dtype, low=-1, high=1, constant=0.8)
    padding = m.random.choice((0, 1))
    made = ml.conv(x, weight, padding=padding, layout=layout) * 0.125
    return ml.relu(made) if m.chance(0.3) else made


def separable(m: Maker) -> Made:
    """Depthwise, then pointwise."""
    x = _image(m, "nchw", 2)
    if x.rank != 4 or min(x.type.static_shape[2:]) < 3:
        return None
    channels = x.type.static_shape[1]
    deep = m.fresh((channels, 1, 3, 3), x.dtype, low=-1, high=1, constant=0.7)
    wide = m.fresh((m.size(33), channels, 1, 1), x.dtype, low=-1, high=1, constant=0.7)
    stride = m.random.choice((1, 2))
    y = ml.conv(x, deep, strides=stride, padding=1, groups=channels)
    return ml.conv(ml.relu6(y) if m.chance(0.5) else y, wide) * 0.25


def conv_transpose(m: Maker) -> Made:
    layout = m.random.choice(("nchw", "nchw", "nhwc"))
    x = _image(m, layout, 2)
    channels, sizes = _parts(x, layout)
    groups = _groups(m, channels)
    kernel = tuple(m.random.choice((1, 2, 3, 4)) for _ in sizes)
    strides = [m.random.choice((1, 2, 2, 3)) for _ in sizes]
    dilations = [m.random.choice((1, 1, 2)) for _ in sizes]
    extra = [m.random.randrange(max(s, d)) for s, d in zip(strides, dilations, strict=True)]
    padding = [m.random.randint(0, 2) for _ in sizes]
    for size, k, s, d, p, e in zip(sizes, kernel, strides, dilations, padding, extra, strict=True):
        if (size - 1) * s + (k - 1) * d + 1 - 2 * p + e < 1:
            return None
    out = m.size(9 if groups < 5 else 2)
    weight = m.fresh((channels, out, *kernel), x.dtype, low=-1, high=1, constant=0.6)
    bias = m.fresh((out * groups,), x.dtype) if m.chance(0.5) else None
    return ml.conv_transpose(
        x,
        weight,
        bias,
        strides=strides,
        padding=[(p, p) for p in padding],
        output_padding=extra,
        dilations=dilations,
        groups=groups,
        layout=layout,
    )


def pooled(m: Maker) -> Made:
    layout = m.random.choice(("nchw", "nhwc"))
    x = _image(m, layout)
    _, sizes = _parts(x, layout)
    kernel = tuple(m.random.choice((1, 2, 3, 3, 5)) for _ in sizes)
    dilations = [m.random.choice((1, 1, 1, 2)) for _ in sizes]
    strides = [m.random.choice((1, 2, 2, 3)) for _ in sizes]
    padding = [(m.random.randint(0, k // 2), m.random.randint(0, k // 2)) for k in kernel]
    for size, k, d, (low, high) in zip(sizes, kernel, dilations, padding, strict=True):
        if size + low + high < (k - 1) * d + 1:
            return None
    ceil_mode = m.chance(0.3)
    if m.chance(0.5):
        return ml.max_pool(
            x,
            kernel,
            strides=strides,
            padding=padding,
            dilations=dilations,
            ceil_mode=ceil_mode,
            layout=layout,
        )
    return ml.average_pool(
        x,
        kernel,
        strides=strides,
        padding=padding,
        dilations=dilations,
        ceil_mode=ceil_mode,
        count_include_pad=m.chance(0.5),
        layout=layout,
    )


def pooled_whole(m: Maker) -> Made:
    return m.random.choice((ml.global_average_pool, ml.global_max_pool))(_image(m, "nchw"))


def resized(m: Maker) -> Made:
    x = _image(m, "nchw", 2)
    shape = x.type.static_shape
    target = (*shape[:2], *(m.size(33) for _ in shape[2:]))
    mode = m.random.choice(("nearest", "linear", "cubic"))
    places = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    if mode == "nearest":
        rounding = m.random.choice(("round_prefer_floor", "floor", "ceil", "round_prefer_ceil"))
        # Halves are decided the same way on any order of operations.
        target = (*shape[:2], *(size * m.random.choice((1, 2, 4)) for size in shape[2:]))
        return ml.resize(x, target, coordinates="asymmetric", rounding=rounding)
    return ml.resize(x, target, mode=mode, coordinates=m.random.choice(places))


STEPS: tuple[Step, ...] = (
    *(conv, conv, conv, three_by_three, three_by_three, separable, conv_transpose, conv_transpose),
    *(pooled, pooled, pooled_whole, resized),
)
