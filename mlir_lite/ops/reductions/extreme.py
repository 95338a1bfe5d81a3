"""Where extremes are: argmax and argmin."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import check
from ...expr import Expr, cast, index
from ...ir import Element, Op, Operand, Value, op
from ...sizes import product
from ...types import Array, TensorType, bool_, i64, u8
from ..base.axes import check_axis, normal_axis
from ..base.body import Indices, computing_type, reduce_over
from ..base.elements import emit
from ..base.promote import as_value
from ..shapes.shape import reshape
from .reduce import widened


@op
class ArgExtreme(Op):
    """The index of an extreme along one axis, in i64: NaN wins, then the first of equals.

    `select_last_index` takes the last of equals.
    """

    x: Value
    axis: int
    keepdims: bool = False
    select_last_index: bool = False
    combiner: ClassVar[str]

    def infer(self) -> TensorType:
        check_axis(self.axis, self.x.rank)
        check(self.x.shape[self.axis] != 0, f"there is no {self.name} of no elements")
        shape = list(self.x.shape)
        shape[self.axis : self.axis + 1] = [1] if self.keepdims else []
        return TensorType(tuple(shape), i64)

    def body(self, at: Indices, x: Element) -> Expr:
        after = at[self.axis + self.keepdims :]
        # Bools have no order in the table of combiners.
        ordered = u8 if self.x.dtype == bool_ else computing_type(self.x.dtype)

        def states(k: Expr) -> tuple[Expr, ...]:
            element = cast(x[(*at[: self.axis], k, *after)], ordered)
            return element, index(0) - k if self.select_last_index else k

        axes = {"k": x.type.static_shape[self.axis]}
        found = reduce_over(self.combiner, axes, states, component=1)
        return index(0) - found if self.select_last_index else found

    def reference(self, x: Array) -> Array:
        wide = widened(x)
        searched = np.flip(wide, self.axis) if self.select_last_index else wide
        search = np.argmax if self.combiner == "argmax" else np.argmin
        found = np.asarray(search(searched, self.axis, keepdims=self.keepdims))
        last = x.shape[self.axis] - 1
        return np.asarray(last - found if self.select_last_index else found)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        if not self.keepdims:
            return None
        return type(self)(self.x, perm.index(self.axis), True, self.select_last_index)


@op
class Argmax(ArgExtreme):
    """The index of the largest element along one axis."""

    combiner = "argmax"


@op
class Argmin(ArgExtreme):
    """The index of the smallest element along one axis."""

    combiner = "argmin"


def argmax(
    x: Operand,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    select_last_index: bool = False,
) -> Value:
    """The index of the largest element along an axis, by default of the flattened tensor."""
    return _searched(Argmax, x, axis, keepdims, select_last_index)


def argmin(
    x: Operand,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    select_last_index: bool = False,
) -> Value:
    """The index of the smallest element along an axis, by default of the flattened tensor."""
    return _searched(Argmin, x, axis, keepdims, select_last_index)


def _searched(
    kind: type[ArgExtreme], x: Operand, axis: int | None, keepdims: bool, last: bool
) -> Value:
    value = as_value(x)
    if axis is not None:
        return emit(kind(value, normal_axis(axis, value.rank), keepdims, last))
    found = emit(kind(reshape(value, (product(value.shape),)), 0, False, last))
    return reshape(found, (1,) * value.rank) if keepdims else found


OPS: tuple[type[Op], ...] = (Argmax, Argmin)
