"""Gradients that torch has as operators of their own: of convolutions, pools and attention.

Those that torch makes of others, as that of a layer norm, have no reader: it does so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .... import ops
from ....ir import Builder, Value, current_builder, parameter, vjp
from ....ops.nn.attention import Attention
from ....ops.windows.window_sum import window_spread
from ....sizes import Size
from ....types import TensorType, bool_, i32
from .adaptive_pools import adaptive_average_pool
from .attention import sees_something
from .convolutions import convolution
from .images import EXACT, FLOOR, smooth
from .movement import pad
from .pools import average_pool, taps_of
from .typed import Reader, Typed
from .windows import Sizes, Steps, batched, columns


def pulled_back(
    read: Callable[..., Value], operands: Sequence[Value], arrived: Value, wanted: Sequence[int]
) -> list[Value | None]:
    """The gradients of a reader's operands at the places `wanted`, for that of its result."""
    params = [parameter(f"x{place}", operand.type) for place, operand in enumerate(operands)]
    builder = Builder(current_builder().table)
    with builder.active():
        result = read(*params)
    fn = builder.finish("forward", params, [result])
    _, pullback = vjp(fn, operands, wrt=wanted)
    found = pullback(arrived)
    return [found[place] if place in wanted else None for place in range(len(operands))]


def of_convolution(
    arrived: Value,
    x: Value,
    weight: Value,
    _bias_sizes: object,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
    asked: Sequence[bool],
) -> tuple[Value | None, ...]:
    """With respect to the input, the weight and the bias, as far as they are asked for."""

    def forward(x: Value, weight: Value) -> Value:
        return convolution(
            x, weight, None, stride, padding, dilation, transposed, output_padding, groups
        )

    wanted = [place for place in range(2) if asked[place]]
    of_bias = ops.sum(arrived, (0, *range(2, arrived.rank))) if asked[2] else None
    return *pulled_back(forward, (x, weight), arrived, wanted), of_bias


def of_average_pool(rank: int) -> Reader:
    """The reader of the gradient of means over windows."""

    def read(arrived: Value, x: Value, *steps: object) -> Value | None:
        return pulled_back(lambda x: average_pool(rank)(x, *steps), (x,), arrived, (0,))[0]

    return read


def of_adaptive_average_pool(rank: int) -> Reader:
    """The reader of the gradient of means over as many windows as the result has places."""

    def read(arrived: Value, x: Value) -> Value | None:
        size = arrived.shape[arrived.rank - rank :]
        return pulled_back(lambda x: adaptive_average_pool(rank)(x, size), (x,), arrived, (0,))[0]

    return read


def of_max_pool(rank: int) -> Reader:
    """The reader of the gradient of the largest in windows: to where each was found."""

    def read(arrived: Value, x: Value, *given: Any) -> Value:
        *sizes, indices = given
        steps = Steps.of(rank, *sizes)

        def spread(arrived: Value, images: Value, indices: Value) -> Value:
            taps = ops.cast(taps_of(images, arrived, indices, steps), i32)
            return window_spread(
                arrived, taps, images.shape[2:], steps.window, steps.strides, steps.padding,
                steps.dilations, steps.ceil_mode, "nchw",
            )  # fmt: skip

        return batched(rank, spread)(arrived, x, indices)

    return read


def of_adaptive_max_pool(rank: int) -> Reader:
    """The reader of the gradient of the largest in windows that may overlap."""

    def read(arrived: Value, x: Value, indices: Value) -> Value:
        image, places, updates = (columns(value, rank) for value in (x, indices, arrived))
        zeros = ops.zeros(image.shape, x.dtype)
        return ops.reshape(ops.scatter_elements(zeros, places, updates, -1, "add"), x.shape)

    return read


def of_padding(mode: str) -> Reader:
    """The reader of the gradient of a border of what is inside."""

    def read(arrived: Value, x: Value, pads: Sequence[Size]) -> Value | None:
        return pulled_back(lambda x: pad(x, pads, mode), (x,), arrived, (0,))[0]

    return read


def of_resampling(forward: Reader) -> Reader:
    """The reader of the gradient of what `forward` reads, which needs no image: but its sizes."""

    def read(arrived: Value, size: object, sizes: Sequence[Size], *rest: object) -> Value | None:
        x = ops.zeros(sizes, arrived.dtype)
        again = partial(forward, arrived.type)
        return pulled_back(lambda x: again(x, size, *rest), (x,), arrived, (0,))[0]

    return read


def of_weight_norm(
    wanted: Sequence[TensorType],
    arrived: Value,
    direction: Value,
    length: Value,
    norms: Value,
    dim: int,
) -> tuple[Value, ...]:
    """Of `direction * (length / norms)`, with norms over all axes but one, to both."""
    wide = (ops.cast(value, norms.dtype) for value in (arrived, direction, length))
    arrived, direction, length = wide
    axes = tuple(axis for axis in range(direction.rank) if axis != dim % direction.rank)
    along = ops.sum(arrived * direction, axes, keepdims=True) / norms
    of_direction = (length / norms) * (arrived - direction * (along / norms))
    return tuple(
        ops.cast(value, type_.dtype)
        for value, type_ in zip((of_direction, along), wanted, strict=True)
    )


def of_attention(
    arrived: Value,
    queries: Value,
    keys: Value,
    values: Value,
    y: Value,
    _dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Value | None = None,
    scale: float | None = None,
) -> tuple[Value | None, ...]:
    """With respect to queries, keys and values; the weights are computed again.

    A row that sees nothing has given 0 whatever they are, and stands for one that sees all, where
    nothing arrives.
    """
    if attn_mask is not None:
        sees = sees_something(attn_mask)
        arrived = ops.where(sees, arrived, 0)
        all_seen = True if attn_mask.dtype == bool_ else 0
        attn_mask = ops.where(sees, attn_mask, all_seen)
    again = ops.attention(queries, keys, values, attn_mask, scale=scale, causal=is_causal)
    assert isinstance(again.op, Attention)
    of_queries, of_keys, of_values, *_ = again.op.gradient(y, arrived)
    return of_queries, of_keys, of_values


READERS: Mapping[str, Reader | Typed] = {
    "aten._adaptive_avg_pool2d_backward": of_adaptive_average_pool(2),
    "aten._adaptive_avg_pool3d_backward": of_adaptive_average_pool(3),
    **{f"aten._upsample_nearest_exact{n}d_backward": of_resampling(EXACT) for n in (1, 2, 3)},
    "aten._weight_norm_interface_backward": Typed(of_weight_norm),
    **{f"aten.adaptive_max_pool{n}d_backward": of_adaptive_max_pool(n) for n in (2, 3)},
    **{f"aten.avg_pool{n}d_backward": of_average_pool(n) for n in (2, 3)},
    "aten.convolution_backward": of_convolution,
    **{f"aten.max_pool{n}d_with_indices_backward": of_max_pool(n) for n in (2, 3)},
    **{f"aten.reflection_pad{n}d_backward": of_padding("reflect") for n in (1, 2, 3)},
    **{f"aten.replication_pad{n}d_backward": of_padding("replicate") for n in (1, 2, 3)},
    **{f"aten.upsample_nearest{n}d_backward": of_resampling(FLOOR) for n in (1, 2, 3)},
    "aten.upsample_bicubic2d_backward": of_resampling(smooth("cubic")),
    "aten.upsample_bilinear2d_backward": of_resampling(smooth("linear")),
    "aten.upsample_linear1d_backward": of_resampling(smooth("linear")),
    "aten.upsample_trilinear3d_backward": of_resampling(smooth("linear")),
    "attention_gradient": of_attention,
}
