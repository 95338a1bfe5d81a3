"""Sums over windows and their transposes, of which the gradients of poolings are made.

    max_pool(x)       is  window_sum(x, taps), each window's element at one tap, the taps being
                          window_taps(x, max_pool(x));
    its gradient      is  window_spread(dy, taps), back to where that element was;
    average_pool(x)   is  window_sum(x) / count, and its gradient  window_spread(dy / count).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ...errors import check
from ...expr import Expr, all_of, cast, const, index, select
from ...ir import Element, Op, Value, constructor, op
from ...sizes import Shape, ceil_div, static
from ...types import Array, TensorType, i32
from ..base.body import Indices, computing_type, reduce_over
from ..base.elements import Gradients
from ..base.promote import check_kind
from ..reductions.reduce import widened
from .over_windows import LaidOut, OverWindows
from .windows import (
    Padding,
    Windows,
    batch_of,
    channels_first,
    channels_of,
    check_layout,
    counts_of,
    in_layout,
    join_index,
    shape_in,
    sources,
    spatial_of,
    split_index,
    taps_of,
    windowed,
    windows_of,
)


@op
class WindowSum(OverWindows):
    """The sum over each window of `(batch, channels, *size)`, or its element at one tap.

    `taps`, if given, has for each window the number of the tap, counted in row-major order.
    Padding is 0.
    """

    x: Value
    taps: Value | None
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    ceil_mode: bool = False
    layout: str = "nchw"

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check_layout(self.x.type, self.layout)
        result = windowed(self.x.type, self.windows(), self.layout)
        _check_taps(self.taps, result)
        return result

    def reference(self, x: Array, taps: Array | None) -> Array:
        first = widened(channels_first(x, self.layout))
        chosen = None if taps is None else channels_first(taps, self.layout)
        total = np.zeros((*first.shape[:2], *counts_of(self.windows())))
        for number, (_, seen) in enumerate(taps_of(first, self.windows(), 0)):
            total += seen if chosen is None else np.where(chosen == number, seen, 0)
        return in_layout(total, self.layout).astype(x.dtype)

    def body(self, at: Indices, x: Element, taps: Element | None) -> Expr:
        batch, channel, position = split_index(at, self.layout)
        windows, wide = self.windows(), computing_type(self.x.dtype)

        def element(*along: Expr) -> Expr:
            source = sources(windows, position, along)
            inside = inside_of(windows, source)
            seen = x[join_index(batch, channel, source, self.layout)]
            chosen = None if taps is None else taps[at]
            return _seen(inside, chosen, along, self.window, cast(seen, wide))

        axes = {f"k{axis}": extent for axis, extent in enumerate(self.window)}
        return cast(reduce_over("sum", axes, element), self.x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        size = spatial_of(self.x.shape, self.layout)
        steps = self.window, self.strides, self.padding, self.dilations
        return window_spread(dy, self.taps, size, *steps, self.ceil_mode, self.layout), None


@op
class WindowSpread(LaidOut):
    """Each element of `(batch, channels, *windows)` added to all elements of its window of
    `(batch, channels, *size)`, or to the one at its tap: the transpose of `WindowSum`."""

    x: Value
    taps: Value | None
    size: Shape
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    ceil_mode: bool = False
    layout: str = "nchw"

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check_layout(self.x.type, self.layout)
        _check_taps(self.taps, self.x.type)
        x, counts = self.x.type, tuple(window.count for window in self.windows())
        have = spatial_of(x.shape, self.layout)
        check(have == counts, f"{have} elements are spread to {counts} windows")
        channels = channels_of(x.shape, self.layout)
        batch = batch_of(x.shape, self.layout)
        return x.with_shape(shape_in(batch, channels, self.size, self.layout))

    def windows(self) -> Windows:
        """The windows along each spatial axis of the result."""
        steps = self.strides, self.padding, self.dilations
        return windows_of(self.size, self.window, *steps, self.ceil_mode)

    def reference(self, x: Array, taps: Array | None) -> Array:
        first = widened(channels_first(x, self.layout))
        chosen = None if taps is None else channels_first(taps, self.layout)
        windows = self.windows()
        ends = [window.low + window.known_size + window.excess for window in windows]
        total = np.zeros((*first.shape[:2], *ends))
        for number, place in enumerate(product(*(range(window.taps) for window in windows))):
            starts = [tap * window.dilation for tap, window in zip(place, windows, strict=True)]
            reached = tuple(
                slice(start, start + (count - 1) * window.stride + 1, window.stride)
                for start, count, window in zip(starts, counts_of(windows), windows, strict=True)
            )
            part = first if chosen is None else np.where(chosen == number, first, 0)
            total[:, :, *reached] += part
        kept = tuple(slice(w.low, w.low + w.known_size) for w in windows)
        return in_layout(total[:, :, *kept], self.layout).astype(x.dtype)

    def body(self, at: Indices, x: Element, taps: Element | None) -> Expr:
        """The sum over the windows that see an element, of which there are few along an axis: one
        where windows do not overlap."""
        batch, channel, position = split_index(at, self.layout)
        windows, wide = self.windows(), computing_type(self.x.dtype)
        counts = counts_of(windows)

        def element(*back: Expr) -> Expr:
            seeing: list[Expr] = []
            places: list[Expr] = []
            exact: list[Expr] = []
            along = zip(windows, counts, position, back, strict=True)
            for window, count, place, steps in along:
                start = (place + window.low) // window.stride - steps
                offset = place + window.low - start * window.stride
                seeing.append(start)
                places.append(offset // window.dilation)
                exact.append(offset < window.reach)
                if window.dilation > 1:
                    exact.append((offset % window.dilation).eq(0))
                exact += [start >= 0, start < count]
            where = join_index(batch, channel, seeing, self.layout)
            chosen = None if taps is None else taps[where]
            return _seen(exact, chosen, places, self.window, cast(x[where], wide))

        axes = {
            f"k{axis}": static((ceil_div(window.reach, window.stride),))[0]
            for axis, window in enumerate(windows)
        }
        return cast(reduce_over("sum", axes, element), self.x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        steps = self.window, self.strides, self.padding, self.dilations
        return window_sum(dy, self.taps, *steps, self.ceil_mode, self.layout), None


def _check_taps(taps: Value | None, windows: TensorType) -> None:
    if taps is not None:
        wanted = windows.with_dtype(i32)
        check(taps.type == wanted, f"the taps are {taps.type}, expected {wanted}")


def _seen(
    inside: Sequence[Expr],
    chosen: Expr | None,
    place: Sequence[Expr],
    window: Sequence[int],
    element: Expr,
) -> Expr:
    """The element, if it is inside and the chosen tap of its window is the one at `place`."""
    zero = const(0, element.dtype)
    if chosen is not None:
        element = select(chosen.eq(tap_number(place, window)), element, zero)
    return select(all_of(*inside), element, zero)


def tap_number(place: Sequence[Expr], window: Sequence[int]) -> Expr:
    """The number of a tap in row-major order."""
    number: Expr = index(0)
    for tap, extent in zip(place, window, strict=True):
        number = number * extent + tap
    return cast(number, i32)


def inside_of(windows: Windows, source: Sequence[Expr]) -> list[Expr]:
    """The conditions under which a tap at these places is in the input."""
    return [
        condition
        for window, place in zip(windows, source, strict=True)
        for condition in window.inside(place)
    ]


window_sum = constructor(WindowSum)
window_spread = constructor(WindowSpread)

OPS: tuple[type[Op], ...] = (WindowSum, WindowSpread)
