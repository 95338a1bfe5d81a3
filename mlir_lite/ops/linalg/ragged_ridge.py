"""Ridge regression of many rows at once, each on rows of a matrix that it lists: a half-step of
alternating least squares (Zhou et al. 2008; with weights, Hu, Koren and Volinsky 2008).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import RunError, check
from ...expr import Expr, to_index
from ...ir import Element, Op, Operand, Value, op
from ...sizes import Shape
from ...tile.nodes import Buffer, Kernel
from ...types import Array, TensorType, f32, f64, i32
from ..base.body import Indices, outside
from ..base.elements import emit_all
from ..base.promote import as_value, check_kind, check_same_dtype, like
from ..shapes.indexing import OUT_OF_RANGE
from .ragged_ridge_kernel import RidgeKernel

NOT_POSITIVE = (
    "ragged_ridge: a row's normal matrix is not positive definite (a larger ridge makes it so), or "
    "its offsets are not in order"
)


@op
class RaggedRidge(Op):
    """For each row r the solution x of `(base + ridge[r] I + Σ w y yᵀ) x = Σ t y`.

    The sums run over the entries from `offsets[r]` to `offsets[r + 1]`, whose y is the row
    `indices[k]` of `factors (m, n)`, whose weight is `weights[k]` (absent: 1) and whose target is
    `targets[k]`. The second result is not 0 for a row without a solution: a `RunError`.
    """

    factors: Value
    indices: Value
    offsets: Value
    targets: Value
    ridge: Value
    weights: Value | None
    base: Value | None
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, TensorType]:
        check(self.factors.dtype in (f32, f64), f"takes f32 or f64, not {self.factors.dtype}")
        check_kind(self.indices, "iu")
        check_kind(self.offsets, "iu")
        floats = (self.targets, self.ridge, self.weights, self.base)
        check_same_dtype(self.factors, *(value for value in floats if value is not None))
        ranks = (self.factors.rank, self.offsets.rank, self.indices.rank, self.ridge.rank)
        check(ranks == (2, 1, 1, 1), "takes a matrix of factors; all else are vectors")
        size, rows = self.factors.shape[1], self.ridge.shape[0]
        check(self.offsets.shape == (rows + 1,), "there is one offset more than rows in `ridge`")
        entries = self.indices.shape
        check(self.targets.shape == entries, "there is one target for each index")
        weights, base = self.weights, self.base
        check(weights is None or weights.shape == entries, "there is one weight for each index")
        square = base is None or base.shape == (size, size)
        check(square, "`base` is no square matrix of the factors' width")
        return self.factors.type.with_shape((rows, size)), TensorType((rows,), i32)

    def reference(
        self,
        factors: Array,
        indices: Array,
        offsets: Array,
        targets: Array,
        ridge: Array,
        weights: Array | None,
        base: Array | None,
    ) -> tuple[Array, Array]:
        rows, size = len(ridge), factors.shape[1]
        x = np.zeros((rows, size), factors.dtype)
        for row in range(rows):
            entries = slice(int(offsets[row]), int(offsets[row + 1]))
            y = factors[indices[entries].astype(np.int64)]
            weighted = y if weights is None else y * weights[entries, None]
            normal = y.T @ weighted + ridge[row] * np.eye(size, dtype=factors.dtype)
            normal = normal if base is None else normal + np.tril(base) + np.tril(base, -1).T
            try:
                np.linalg.cholesky(normal)
            except np.linalg.LinAlgError as error:
                raise RunError(NOT_POSITIVE) from error
            x[row] = np.linalg.solve(normal, y.T @ targets[entries])
        return x, np.zeros(rows, np.int32)

    def fault(
        self,
        at: Indices,
        factors: Element,
        indices: Element,
        offsets: Element,
        targets: Element,
        ridge: Element,
        weights: Element | None,
        base: Element | None,
    ) -> tuple[Expr, str]:
        return outside(to_index(indices[at]), factors.type.static_shape[0]), OUT_OF_RANGE

    @property
    def fault_shape(self) -> Shape:
        return self.indices.shape

    def failure(self, at: Indices, x: Element, info: Element) -> tuple[Expr, str]:
        return info[at] > 0, NOT_POSITIVE

    def kernel(self, name: str) -> Kernel:
        names = ("factors", "indices", "offsets", "targets", "ridge", "weights", "base")
        given = {field: getattr(self, field) for field in names}
        inputs = {
            field: Buffer(field, value.dtype, value.type.static_shape)
            for field, value in given.items()
            if value is not None
        }
        return RidgeKernel(inputs).kernel(name)


def ragged_ridge(
    factors: Operand,
    indices: Operand,
    offsets: Operand,
    targets: Operand,
    ridge: Operand,
    *,
    weights: Operand | None = None,
    base: Operand | None = None,
) -> Value:
    """For each row r the x that solves `(base + ridge[r] I + Σ w y yᵀ) x = Σ t y`: `(rows, n)`.

    The sums run over the entries k from `offsets[r]` to `offsets[r + 1]`: y is the row `indices[k]`
    of `factors (m, n)`, t is `targets[k]`, w is `weights[k]` or 1. `ridge` is `(rows,)`. This is a
    half-step of alternating least squares: for each user on the films rated, or the other way
    round. `RunError` where a normal matrix is not positive definite. There is no gradient.
    """
    value = as_value(factors)
    x, _ = emit_all(
        RaggedRidge(
            value,
            as_value(indices),
            as_value(offsets),
            like(targets, value),
            like(ridge, value),
            None if weights is None else like(weights, value),
            None if base is None else like(base, value),
        )
    )
    return x


OPS: tuple[type[Op], ...] = (RaggedRidge,)
