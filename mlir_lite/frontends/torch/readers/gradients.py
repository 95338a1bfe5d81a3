"""Gradients that torch has as operators of their own: of convolutions, pools and attention.

Those that torch makes of others, as that of a layer norm, have no reader: it does so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .... import ops
from ....ir import Builder, Value, current_builder, parameter, vjp
from ....ops.nn.attention import Attention
from ....ops.windows.window_sum import window_spread
from ....ops.windows.windows import padding_pairs
from ....types import bool_, i32
from .attention import sees_something
from .typed import Reader, Typed
from .windows import (
    Sizes,
    adaptive_average_pool,
    average_pool,
    convolution,
    first_elements,
    linear_steps,
    spread,
)


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

    def read(
        arrived: Value,
        x: Value,
        kernel: Sizes,
        stride: Sizes,
        padding: Sizes,
        dilation: Sizes,
        ceil_mode: bool,
        indices: Value,
    ) -> Value:
        if x.rank == rank + 1:
            arrived, x, indices = (ops.expand_dims(value, 0) for value in (arrived, x, indices))
            one = read(arrived, x, kernel, stride, padding, dilation, ceil_mode, indices)
            return ops.squeeze(one, 0)
        window, pads, dilations = (spread(given, rank) for given in (kernel, padding, dilation))
        strides = spread(stride or window, rank)
        starts = first_elements(arrived, strides, pads)
        taps = ops.zeros(indices.shape, indices.dtype)
        for start, step, size, extent, by in zip(
            starts, linear_steps(x, rank), x.shape[2:], window, dilations, strict=True
        ):
            along = ops.floor_divide(indices, step) % size - start
            taps = taps * extent + ops.floor_divide(along, by)
        return window_spread(
            arrived,
            ops.cast(taps, i32),
            x.shape[2:],
            window,
            strides,
            padding_pairs(pads, rank),
            dilations,
            ceil_mode,
            "nchw",
        )

    return read


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
    "aten.avg_pool2d_backward": of_average_pool(2),
    "aten.avg_pool3d_backward": of_average_pool(3),
    "aten.convolution_backward": of_convolution,
    "aten.max_pool2d_with_indices_backward": of_max_pool(2),
    "aten.max_pool3d_with_indices_backward": of_max_pool(3),
    "attention_gradient": of_attention,
}
