"""Running totals along an axis: cumsum and cumprod, as kernels written by hand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...expr import COMBINERS, Load, apply, cast, const
from ...ir import Op, Operand, Value, op
from ...tile.nodes import Buffer, Kernel, Ref, Stmt, Store
from ...types import Array, TensorType
from ..base.axes import check_axis, normal_axis
from ..base.body import computing_type
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from .recurrence import (
    TOTAL,
    linear_recurrence,
    running_index,
    running_kernel,
    shifted,
)
from .reduce import widened


@op
class Cumulative(Op):
    """A running total along one axis, of the elements up to and including each.

    `exclusive` leaves each element out of its own total; `reverse` runs from the end.
    """

    x: Value
    axis: int
    exclusive: bool = False
    reverse: bool = False
    combiner: ClassVar[str]

    def infer(self) -> TensorType:
        check_kind(self.x, "fiu")
        check_axis(self.axis, self.x.rank)
        return self.x.type

    def reference(self, x: Array) -> Array:
        wide = np.moveaxis(widened(x), self.axis, 0)
        ordered = wide[::-1] if self.reverse else wide
        run = np.cumsum if self.combiner == "sum" else np.cumprod
        total = run(ordered, 0, dtype=ordered.dtype)
        if self.exclusive and len(total):
            first = np.full_like(total[:1], COMBINERS[self.combiner].identity[0](self.x.dtype))
            total = np.concatenate([first, total[:-1]])
        restored = total[::-1] if self.reverse else total
        return np.asarray(np.moveaxis(restored, 0, self.axis)).astype(x.dtype)

    def kernel(self, name: str) -> Kernel:
        """One serial loop along the axis, with the total in a register; the others parallel."""
        shape, dtype = self.x.type.static_shape, self.x.dtype
        wide = computing_type(dtype)
        combiner = COMBINERS[self.combiner]
        at = running_index(shape, self.axis, self.reverse)
        total = Load(wide, *TOTAL)
        joined = apply(combiner.function, total, cast(Load(dtype, "x", at), wide))
        update = Store(Ref(*TOTAL), joined)
        write = Store(Ref("out", at), cast(total, dtype))
        order: tuple[Stmt, ...] = (write, update) if self.exclusive else (update, write)
        first = const(combiner.identity[0](wide), wide)
        params = (Buffer("x", dtype, shape), Buffer("out", dtype, shape))
        return running_kernel(name, params, self.axis, first, order)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return type(self)(self.x, perm.index(self.axis), self.exclusive, self.reverse)


@op
class Cumsum(Cumulative):
    """The running sum along an axis; see `Cumulative` for the options."""

    combiner = "sum"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (cumsum(dy, self.axis, exclusive=self.exclusive, reverse=not self.reverse),)


@op
class Cumprod(Cumulative):
    """The running product along an axis; see `Cumulative` for the options."""

    combiner = "prod"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """The product of the elements before each, times what it scales of those from it on.

        No element is divided by: some may be 0.
        """
        axis, back = self.axis, -1 if not self.reverse else 1
        before = cumprod(self.x, axis, exclusive=True, reverse=self.reverse)
        following = shifted(self.x, axis, back)
        arrived = shifted(dy, axis, back) if self.exclusive else dy
        return (before * linear_recurrence(following, arrived, axis, reverse=not self.reverse),)


def cumsum(
    x: Operand, axis: int, *, exclusive: bool = False, reverse: bool = False
) -> Value:
    """The running sum along an axis."""
    value = as_value(x)
    return emit(Cumsum(value, normal_axis(axis, value.rank), exclusive, reverse))


def cumprod(
    x: Operand, axis: int, *, exclusive: bool = False, reverse: bool = False
) -> Value:
    """The running product along an axis."""
    value = as_value(x)
    return emit(Cumprod(value, normal_axis(axis, value.rank), exclusive, reverse))


OPS: tuple[type[Op], ...] = (Cumsum, Cumprod)
