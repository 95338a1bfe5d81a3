"""Where in its window the result of a pooling was found."""

from __future__ import annotations

from math import prod

import numpy as np

from ...errors import check
from ...expr import COMBINERS, Expr, all_of, apply, cast, const, select
from ...ir import Element, Op, Value, constructor, op
from ...types import Array, TensorType, i32
from ..base.body import Indices, computing_type, reduce_over
from ..base.promote import check_kind
from .over_windows import OverWindows
from .window_sum import inside_of, tap_number
from .windows import (
    Padding,
    channels_first,
    check_layout,
    in_layout,
    join_index,
    sources,
    split_index,
    taps_of,
    windowed,
)


@op
class WindowTaps(OverWindows):
    """Where each window of `x` has the value `y`: the number of the first such tap in row-major
    order, i32. NaN is where a NaN is; without a match it is the number of taps there are.
    """

    x: Value
    y: Value
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    ceil_mode: bool = False
    layout: str = "nchw"

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check_layout(self.x.type, self.layout)
        wanted = windowed(self.x.type, self.windows(), self.layout)
        check(self.y.type == wanted, f"the values are {self.y.type}, the windows' are {wanted}")
        return wanted.with_dtype(i32)

    def reference(self, x: Array, y: Array) -> Array:
        first, values = channels_first(x, self.layout), channels_first(y, self.layout)
        found = np.full(values.shape, prod(self.window), np.int32)
        inside = np.ones(first.shape, np.bool_)
        taps = zip(
            taps_of(first, self.windows(), 0), taps_of(inside, self.windows(), False), strict=True
        )
        for number, ((_, seen), (_, there)) in enumerate(taps):
            same = there & ((seen == values) | np.isnan(seen))
            found = np.where(same & (found > number), np.int32(number), found)
        return in_layout(found, self.layout)

    def body(self, at: Indices, x: Element, y: Element) -> Expr:
        """The least number among the taps that match."""
        batch, channel, position = split_index(at, self.layout)
        windows, value = self.windows(), cast(y[at], computing_type(self.x.dtype))
        none = const(COMBINERS["min"].identity[0](i32), i32)

        def number(*along: Expr) -> Expr:
            source = sources(windows, position, along)
            inside = inside_of(windows, source)
            seen = cast(x[join_index(batch, channel, source, self.layout)], value.dtype)
            same = seen.eq(value) | apply("isnan", seen)
            tap = select(same, tap_number(along, self.window), none)
            return select(all_of(*inside), tap, none)

        axes = {f"k{axis}": extent for axis, extent in enumerate(self.window)}
        return apply("min", reduce_over("min", axes, number), const(prod(self.window), i32))


window_taps = constructor(WindowTaps)

OPS: tuple[type[Op], ...] = (WindowTaps,)
