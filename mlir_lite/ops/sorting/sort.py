"""The order of elements along an axis: argsort, sort, topk.

NaN counts as larger than any number: it comes last, and first in descending order, as in NumPy and
torch. Sorts are stable in either direction: of equal elements the first comes first.
"""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...ir import Op, Operand, Value, op
from ...tile.nodes import Kernel
from ...types import Array, TensorType, i64
from ..base.axes import check_axis, normal_axis
from ..base.elements import emit
from ..base.promote import as_value, check_kind
from ..reductions.reduce import widened
from ..shapes.index import gather_elements
from .block_sort import block_merge_kernel
from .sort_kernel import merge_kernel
from .sort_order import Rows


@op
class Argsort(Op):
    """The places of elements in order along one axis, in i64; of the first `count` of them alone.

    NaN counts as larger than any number; of equal elements the first comes first.
    """

    x: Value
    axis: int
    count: int | None = None
    descending: bool = False

    def infer(self) -> TensorType:
        check_kind(self.x, "fiub")
        check_axis(self.axis, self.x.rank)
        shape = list(self.x.shape)
        extent = shape[self.axis]
        # Places are i32 while they are sorted.
        fits = not isinstance(extent, int) or extent < 2**31
        check(fits, f"sorts fewer than 2**31 elements, not {extent}; sort parts and merge them")
        if self.count is not None:
            enough = self.count >= 0 and (not isinstance(extent, int) or self.count <= extent)
            check(enough, f"there are no first {self.count} of {extent} elements")
            shape[self.axis] = self.count
        return TensorType(tuple(shape), i64)

    def reference(self, x: Array) -> Array:
        keys = np.moveaxis(widened(x), self.axis, -1)
        if self.descending:
            # Reversed before and after, a stable sort keeps equal elements as they are.
            last = keys.shape[-1] - 1
            order = last - np.argsort(keys[..., ::-1], -1, kind="stable")[..., ::-1]
        else:
            order = np.argsort(keys, -1, kind="stable")
        return np.ascontiguousarray(np.moveaxis(order[..., : self.count], -1, self.axis))

    def kernel(self, name: str) -> Kernel:
        return merge_kernel(name, self._rows)

    def block_kernel(self, name: str) -> Kernel:
        return block_merge_kernel(name, self._rows)

    @property
    def _rows(self) -> Rows:
        shape = self.x.type.static_shape
        count = shape[self.axis] if self.count is None else self.count
        return Rows(shape, self.x.dtype, self.axis, count, self.descending)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return Argsort(self.x, perm.index(self.axis), self.count, self.descending)


def argsort(x: Operand, axis: int = -1, *, descending: bool = False) -> Value:
    """The places of the elements in order along an axis; see `Argsort` for NaN and for equals."""
    value = as_value(x)
    return emit(Argsort(value, normal_axis(axis, value.rank), None, descending))


def sort(x: Operand, axis: int = -1, *, descending: bool = False) -> Value:
    """The elements in order along an axis; see `Argsort` for NaN and for equals."""
    value = as_value(x)
    return gather_elements(value, argsort(value, axis, descending=descending), axis)


def topk(
    x: Operand, k: int, axis: int = -1, *, largest: bool = True
) -> tuple[Value, Value]:
    """The `k` largest elements along an axis, or smallest, in order, and their places."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    order = emit(Argsort(value, place, k, largest))
    return gather_elements(value, order, place), order


OPS: tuple[type[Op], ...] = (Argsort,)
