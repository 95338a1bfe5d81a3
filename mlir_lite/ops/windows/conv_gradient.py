"""The gradients of convolutions.

With respect to the input it is a transposed convolution with the same weight; with respect to the
weight it is an operation of its own, which sums over the batch and the windows. The three are
linear in each operand and one another's gradients, so that there are no others.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...errors import UnsupportedError, check
from ...expr import Expr, cast, index
from ...ir import Element, Op, Value, current_builder, op
from ...sizes import Size, static
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, reduce_over
from ..base.elements import Gradients, emit
from ..base.promote import check_kind, check_same_dtype
from ..reductions.reduce import widened
from .windows import (
    Padding,
    Windows,
    batch_of,
    channels_first,
    channels_of,
    check_layout,
    counts_of,
    join_index,
    read_window,
    shape_in,
    sources,
    spatial_of,
    taps_of,
    windows_of,
)


class Geometry(Protocol):
    """What the convolutions have in common: how windows move, and how axes lie."""

    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> Padding: ...
    @property
    def dilations(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def layout(self) -> str: ...


@op
class ConvWeightGradient(Op):
    """The gradient of `Conv` with respect to its weight:
    `(batch, in, *size) x (batch, out, *windows) -> (out, in / groups, *kernel)`.

    Each tap has the sum, over the batch and all windows, of what it sees of `x` times `dy`.
    Half-width floats are summed in f32.
    """

    x: Value
    dy: Value
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    groups: int = 1
    layout: str = "nchw"

    def infer(self) -> TensorType:
        x, dy = self.x.type, self.dy.type
        check_kind(self.x, "f")
        check_same_dtype(self.x, self.dy)
        check_layout(x, self.layout)
        check(dy.rank == x.rank, f"gradients of rank {dy.rank}, an input of rank {x.rank}")
        inner, out = channels_of(x.shape, self.layout), channels_of(dy.shape, self.layout)
        divides = self.groups > 0 and inner % self.groups == 0 and out % self.groups == 0
        check(divides, f"{inner} and {out} channels in {self.groups} groups")
        counts = [window.count for window in self.windows()]
        batch = batch_of(x.shape, self.layout)
        wanted = dy.with_shape(shape_in(batch, out, counts, self.layout))
        check(dy == wanted, f"the gradient is {dy}, the windows' is {wanted}")
        return x.with_shape((out, inner // self.groups, *self.kernel_size))

    def windows(self) -> Windows:
        """The windows of the convolution along each spatial axis."""
        size = spatial_of(self.x.shape, self.layout)
        return windows_of(size, self.kernel_size, self.strides, self.padding, self.dilations)

    def reference(self, x: Array, dy: Array) -> Array:
        first, arrived = (channels_first(widened(array), self.layout) for array in (x, dy))
        batch, inner, out = first.shape[0], first.shape[1], arrived.shape[1]
        count = int(np.prod(arrived.shape[2:]))
        grouped = arrived.reshape(batch, self.groups, out // self.groups, count)
        total = np.zeros((*self.kernel_size, out, inner // self.groups))
        for taps, seen in taps_of(first, self.windows(), 0):
            window = seen.reshape(batch, self.groups, inner // self.groups, count)
            products = grouped @ window.swapaxes(-1, -2)
            total[taps] = products.sum(0).reshape(out, inner // self.groups)
        return np.moveaxis(total, (-2, -1), (0, 1)).astype(x.dtype)

    def body(self, at: Indices, x: Element, dy: Element) -> Expr:
        channel, inner, *taps = at
        windows, wide = self.windows(), computing_type(self.x.dtype)
        out, per_group, *_ = self.infer().static_shape
        first = channel // (out // self.groups) * per_group if self.groups > 1 else index(0)

        def element(*along: Expr) -> Expr:
            batch, *position = along
            source = sources(windows, tuple(position), tuple(taps))
            seen = read_window(x, batch, first + inner, source, windows, self.layout, 0)
            return cast(seen, wide) * cast(
                dy[join_index(batch, channel, position, self.layout)], wide
            )

        axes = {f"p{axis}": count for axis, count in enumerate(counts_of(windows))}
        batch = {"b": static((batch_of(self.x.shape, self.layout),))[0]}
        return cast(reduce_over("sum", batch | axes, element), self.x.dtype)

    def gradient(self, dw: Value, ddw: Value) -> Gradients:
        return input_gradient(self, self.dy, ddw, self.x), convolved(self, self.x, ddw)


def weight_gradient(like: Geometry, x: Value, dy: Value, kernel: tuple[int, ...]) -> Value:
    """The gradient of the weight of a convolution of `x` with filters of this size."""
    return emit(
        ConvWeightGradient(
            x, dy, kernel, like.strides, like.padding, like.dilations, like.groups, like.layout
        )
    )


def input_gradient(like: Geometry, dy: Value, weight: Value, x: Value) -> Value:
    """The gradient of the input `x` of a convolution with this weight: a transposed one."""
    kernel = weight.type.static_shape[2:]
    size = spatial_of(x.shape, like.layout)
    windows = windows_of(size, kernel, like.strides, like.padding, like.dilations)
    unseen = [w.size + (w.low + w.high - w.reach) - (w.count - 1) * w.stride for w in windows]
    return current_builder().table.call(
        "conv_transpose",
        dy,
        weight,
        strides=like.strides,
        padding=like.padding,
        output_padding=tuple(map(_known, unseen)),
        dilations=like.dilations,
        groups=like.groups,
        layout=like.layout,
    )


def convolved(like: Geometry, x: Value, weight: Value) -> Value:
    """The convolution of the same geometry."""
    return current_builder().table.call(
        "conv",
        x,
        weight,
        strides=like.strides,
        padding=like.padding,
        dilations=like.dilations,
        groups=like.groups,
        layout=like.layout,
    )


def _known(size: Size) -> int:
    message = f"the gradient of a convolution in steps depends on the size {size}; give it a value"
    check(isinstance(size, int), message, UnsupportedError)
    assert isinstance(size, int)
    return size


OPS: tuple[type[Op], ...] = (ConvWeightGradient,)
