"""The matrix product."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr, cast, index
from ...ir import Element, Op, Operand, Value, op
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, reduce_over
from ..base.broadcast import broadcast_shapes
from ..base.elements import Gradients, emit
from ..base.factors import check_factors, rounded_arrays, rounded_elements
from ..base.promote import as_values, check_kind, product_type
from ..reductions.reduce import sum_to, widened
from ..shapes.shape import expand_dims, squeeze, swapaxes


@op
class Matmul(Op):
    """Matrix product over the last two axes: `(.., m, k) x (.., k, n) -> (.., m, n)`.

    The leading axes broadcast as in NumPy; ranks are at least 2. Half-width floats are summed in
    f32, integers in their own type; u8 by i8 gives i32. `factors` of f32 may be rounded before they
    are multiplied: to "tf32", "bf16" or "f16"; the gradient is that of the unrounded product.
    """

    lhs: Value
    rhs: Value
    factors: str = "f32"

    def infer(self) -> TensorType:
        lhs, rhs = self.lhs.type, self.rhs.type
        check_kind(self.lhs, "fiu")
        total = product_type(self.lhs, self.rhs)
        check_factors(self.factors, total)
        check(lhs.rank >= 2 and rhs.rank >= 2, "a matrix product takes operands of rank 2 or more")
        check(
            lhs.shape[-1] == rhs.shape[-2],
            f"the inner sizes differ: {lhs.shape[-1]} columns and {rhs.shape[-2]} rows",
        )
        batch = broadcast_shapes(lhs.shape[:-2], rhs.shape[:-2])
        return TensorType((*batch, lhs.shape[-2], rhs.shape[-1]), total)

    def reference(self, lhs: Array, rhs: Array) -> Array:
        total = product_type(self.lhs, self.rhs).numpy
        same = (x.astype(total, copy=False) for x in (lhs, rhs))
        left, right = map(widened, rounded_arrays(self.factors, *same))
        return np.asarray(np.matmul(left, right)).astype(total)

    def body(self, at: Indices, lhs: Element, rhs: Element) -> Expr:
        *batch, m, n = at
        dtype = product_type(self.lhs, self.rhs)
        wide = computing_type(dtype)
        lhs, rhs = rounded_elements(self.factors, lhs, rhs)
        left, right = _batch_index(batch, lhs.type), _batch_index(batch, rhs.type)
        total = reduce_over(
            "sum",
            {"k": lhs.type.static_shape[-1]},
            lambda k: cast(lhs[(*left, m, k)], wide) * cast(rhs[(*right, k, n)], wide),
        )
        return cast(total, dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (
            sum_to(matmul(dy, swapaxes(self.rhs, -1, -2)), self.lhs.shape),
            sum_to(matmul(swapaxes(self.lhs, -1, -2), dy), self.rhs.shape),
        )


def _batch_index(at: list[Expr], type_: TensorType) -> Indices:
    """The leading part of an index into an operand whose leading axes broadcast."""
    own = type_.static_shape[:-2]
    kept = at[len(at) - len(own) :]
    return tuple(
        index(0) if extent == 1 else position for extent, position in zip(own, kept, strict=True)
    )


def matmul(lhs: Operand, rhs: Operand) -> Value:
    """NumPy's `matmul`: a vector is a row on the left, a column on the right."""
    left, right = as_values(lhs, rhs)
    check(left.rank > 0 and right.rank > 0, "a matrix product takes no scalars")
    row = expand_dims(left, 0) if left.rank == 1 else left
    column = expand_dims(right, 1) if right.rank == 1 else right
    product = emit(Matmul(row, column))
    added = [-2] * (left.rank == 1) + [-1] * (right.rank == 1)
    return squeeze(product, tuple(added)) if added else product


OPS: tuple[type[Op], ...] = (Matmul,)
