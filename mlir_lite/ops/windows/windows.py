"""Windows over spatial axes: the arithmetic that convolutions and poolings share.

Layouts have torch's and ONNX's letters: "nchw" is channels first whatever the number of spatial
axes, "nhwc" channels last, "chwn" the batch last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import numpy as np

from ...errors import check
from ...expr import Expr, all_of, const, select
from ...ir import Element, Scalar
from ...sizes import Shape, Size, ceil_div, static
from ...types import Array, TensorType
from ..base.body import Indices

T = TypeVar("T")
Padding: TypeAlias = tuple[tuple[int, int], ...]  # (low, high) of each spatial axis


@dataclass(frozen=True)
class Window:
    """The windows along one axis of `size` elements, padded by `low` and `high`.

    Tap `t` of window `p` is at `p * stride + t * dilation - low`. With `ceil_mode` the last window
    may reach beyond the high padding, if it starts before it (torch's and ONNX's rule).
    """

    size: Size
    taps: int
    stride: int
    low: int
    high: int
    dilation: int
    ceil_mode: bool = False

    @property
    def known_size(self) -> int:
        """`size`, where it must be known."""
        return static((self.size,))[0]

    @property
    def reach(self) -> int:
        """The elements from the first tap to the last."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def count(self) -> Size:
        """How many windows there are; `TypeRuleError` where not one fits."""
        free = self.size + (self.low + self.high - self.reach)
        if not self.ceil_mode:
            fits = not isinstance(free, int) or free >= 0
            check(fits, f"a window of {self.reach} does not fit into {self._padded}")
            return free // self.stride + 1
        rounded = ceil_div(free, self.stride) + 1
        if self.stride + self.high > self.reach:  # the last window may start in the high padding
            check(
                isinstance(self.size, int),
                f"how many windows of {self.reach} there are depends on the size {self.size}; "
                "give it a value first",
            )
            assert isinstance(rounded, int)
            if (rounded - 1) * self.stride >= self.known_size + self.low:
                rounded -= 1
        fits = not isinstance(rounded, int) or rounded >= 1
        check(fits, f"a window of {self.reach} does not fit into {self._padded}")
        return rounded

    @property
    def _padded(self) -> str:
        return f"{self.size} elements padded by {self.low} and {self.high}"

    @property
    def excess(self) -> int:
        """How far the last window reaches beyond the high end of the input (0: not at all)."""
        (count,) = static((self.count,))
        return max(0, (count - 1) * self.stride + self.reach - self.low - self.known_size)

    def source(self, position: Expr, tap: Expr) -> Expr:
        """Where in the input a tap of the window at `position` is."""
        return position * self.stride + tap * self.dilation - self.low

    def inside(self, source: Expr) -> list[Expr]:
        """The conditions under which a tap is in the input; none that always holds."""
        found = [source >= 0] if self.low else []
        return [*found, source < self.known_size] if self.excess else found


Windows: TypeAlias = tuple[Window, ...]


def windows_of(
    sizes: Sequence[Size],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    dilations: Sequence[int],
    ceil_mode: bool = False,
) -> Windows:
    """The windows along each spatial axis; `TypeRuleError` where the numbers make no sense."""
    check_per_axis(len(sizes), kernel, strides, padding, dilations)
    entries = zip(sizes, kernel, strides, padding, dilations, strict=True)
    return tuple(
        Window(size, taps, stride, low, high, dilation, ceil_mode)
        for size, taps, stride, (low, high), dilation in entries
    )


def windows_inside(
    sizes: Sequence[Size], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Windows:
    """The windows over images that are padded already."""
    none = ((0, 0),) * len(kernel)
    return windows_of(sizes, kernel, strides, none, dilations)


def check_per_axis(
    count: int,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    dilations: Sequence[int],
) -> None:
    """The type rule of attributes with an entry for each of `count` spatial axes."""
    alike = len(kernel) == len(strides) == len(padding) == len(dilations) == count
    check(alike, f"{count} spatial axes need as many kernel sizes, strides, pads and dilations")
    positive = all(entry > 0 for entry in (*kernel, *strides, *dilations))
    check(positive, "kernel sizes, strides and dilations are at least 1")
    check(all(min(pair) >= 0 for pair in padding), f"the padding {padding} is negative")


def counts_of(windows: Windows) -> tuple[int, ...]:
    """How many windows there are along each axis, all sizes being known."""
    return static([window.count for window in windows])


def taps_of(x: Array, windows: Windows, fill: Scalar) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For each tap, the channels-first array of what all windows see there, padded by `fill`."""
    counts = counts_of(windows)
    pads = [(window.low, max(window.high, window.excess)) for window in windows]
    padded = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    for taps in product(*(range(window.taps) for window in windows)):
        where = []
        for tap, count, window in zip(taps, counts, windows, strict=True):
            start = tap * window.dilation
            where.append(slice(start, start + (count - 1) * window.stride + 1, window.stride))
        yield taps, padded[:, :, *where]


def read_window(
    x: Element,
    batch: Expr,
    channel: Expr,
    source: Sequence[Expr],
    windows: Windows,
    layout: str,
    fill: Scalar,
) -> Expr:
    """An element that a window sees: of the input at `source`, or `fill` in the padding."""
    conditions = [
        condition
        for window, position in zip(windows, source, strict=True)
        for condition in window.inside(position)
    ]
    element = x[join_index(batch, channel, source, layout)]
    return select(all_of(*conditions), element, const(fill, element.dtype))


def sources(windows: Windows, position: Indices, taps: Indices) -> list[Expr]:
    """Where in the input taps of the window at `position` are, along each axis."""
    entries = zip(windows, position, taps, strict=True)
    return [window.source(at, tap) for window, at, tap in entries]


# Layouts


def check_layout(type_: TensorType, layout: str) -> None:
    """The type rule of an input with a batch, channels and spatial axes."""
    names = ", ".join(f'"{name}"' for name in LAYOUTS)
    check(layout in LAYOUTS, f'the layout is one of {names}, not "{layout}"')
    check(type_.rank >= 3, f"takes a batch of channels of one or more spatial axes, not {type_}")


# Where the batch and the channels are, the spatial axes being the others in their order.
LAYOUTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"nchw": (0, 1), "nhwc": (0, -1), "chwn": (-1, 0)}
)


def order_of(layout: str, rank: int) -> tuple[int, ...]:
    """The transpose that brings a channels-first array into a layout."""
    batch, channels = (place % rank for place in LAYOUTS[layout])
    spatial = iter(range(2, rank))
    places = {batch: 0, channels: 1}
    return tuple(places[at] if at in places else next(spatial) for at in range(rank))


def channels_first(array: Array, layout: str) -> Array:
    """The array with its batch and channels before its spatial axes."""
    return np.moveaxis(array, LAYOUTS[layout], (0, 1))


def in_layout(array: Array, layout: str) -> Array:
    """A channels-first array in `layout`."""
    return np.ascontiguousarray(np.moveaxis(array, (0, 1), LAYOUTS[layout]))


def split_index(at: Indices, layout: str) -> tuple[Expr, Expr, Indices]:
    """Batch, channel and spatial part of an index."""
    batch, channels = LAYOUTS[layout]
    return at[batch], at[channels], _spatial(at, layout)


def join_index(batch: Expr, channel: Expr, spatial: Sequence[Expr], layout: str) -> Indices:
    """An index of the layout from those of its axes."""
    return _joined(batch, channel, spatial, layout)


def spatial_of(shape: Shape, layout: str) -> Shape:
    """The sizes along the spatial axes."""
    return _spatial(shape, layout)


def channels_of(shape: Shape, layout: str) -> Size:
    """The number of channels."""
    return shape[LAYOUTS[layout][1]]


def batch_of(shape: Shape, layout: str) -> Size:
    """The number of images."""
    return shape[LAYOUTS[layout][0]]


def windowed(x: TensorType, windows: Windows, layout: str) -> TensorType:
    """The type of a result with one element for each window of `x`."""
    batch, channels = batch_of(x.shape, layout), channels_of(x.shape, layout)
    return x.with_shape(shape_in(batch, channels, [each.count for each in windows], layout))


def shape_in(batch: Size, channels: Size, spatial: Sequence[Size], layout: str) -> Shape:
    """A shape of the layout from its sizes."""
    return _joined(batch, channels, spatial, layout)


def _spatial(parts: tuple[T, ...], layout: str) -> tuple[T, ...]:
    own = [place % len(parts) for place in LAYOUTS[layout]]
    return tuple(part for place, part in enumerate(parts) if place not in own)


def _joined(batch: T, channel: T, spatial: Sequence[T], layout: str) -> tuple[T, ...]:
    parts = (batch, channel, *spatial)
    return tuple(parts[place] for place in order_of(layout, len(parts)))


def permuted_layout(layout: str, perm: tuple[int, ...]) -> str | None:
    """The layout after a transpose by `perm`; None where that is none of them."""
    before = order_of(layout, len(perm))
    after = tuple(before[axis] for axis in perm)
    orders = {order_of(name, len(perm)): name for name in LAYOUTS}
    return orders.get(after)


# Arguments as users write them


def per_axis(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    """One number for all axes, or one for each."""
    return (value,) * count if isinstance(value, (int, np.integer)) else tuple(value)


def named_padding(
    name: str, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Padding:
    """The padding that torch calls "valid", none, or "same", so that sizes stay; the odd one goes
    to the high end."""
    check(name in ("same", "valid"), f'the padding "{name}" is none of "same", "valid" and numbers')
    if name == "valid":
        return ((0, 0),) * len(kernel)
    steps = all(stride == 1 for stride in strides)
    check(steps, f'the padding "same" keeps sizes, the strides {tuple(strides)} do not')
    totals = [by * (taps - 1) for taps, by in zip(kernel, dilations, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def padding_pairs(padding: int | Sequence[int | tuple[int, int]], count: int) -> Padding:
    """Padding as torch gives it (one number, or one per axis), or (low, high) pairs."""
    entries = (padding,) * count if isinstance(padding, (int, np.integer)) else tuple(padding)
    return tuple(
        (entry, entry) if isinstance(entry, (int, np.integer)) else entry for entry in entries
    )
