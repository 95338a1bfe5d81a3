"""Factors of matrices without a library, by the threads of a block: Cholesky, and LU with partial
pivoting (Golub and Van Loan, "Matrix Computations", 4.2 and 3.4), right-looking.

Each step finishes one column, and takes what that explains from all that is right of it.
"""

from __future__ import annotations

from ...expr import Expr, Var, all_of, apply, cast, const, select
from ...tile.nodes import Block, Buffer, Kernel
from ...types import i32
from ..kernels.batched import batched
from ..kernels.block_steps import BlockSteps, at, held, magnitude, put, sqrt
from ..kernels.statements import minus


def block_cholesky(name: str, x: Buffer, lower: Buffer, info: Buffer) -> Kernel:
    """The lower Cholesky factors of `x (b, n, n)`, and in `info (b,)` 0, or the row, counted from
    1, at which a matrix is not positive definite."""
    _, n, _ = x.shape
    steps = BlockSteps(x.dtype)
    g, column = steps.matrix("g", n, n), steps.shared("column", n)
    failed = steps.register(dtype=i32)

    def step(k: Var) -> Block:
        let_pivot, pivot = steps.named(at(g, k, k))
        let_root, root = steps.named(sqrt(pivot))
        # Of a NaN too: it is not above 0.
        first = all_of(held(failed).eq(0), apply("not", pivot > 0))

        def scaled(i: Var) -> Block:
            return (put(column, i)(select(i.eq(k), root, at(g, i, k) / root)),)

        def updated(i: Var, j: Var) -> Block:
            less = minus(at(g, i, j), at(column, i), at(column, j))
            return (put(g, i, j)(select(j.eq(k), at(column, i), less)),)

        return (
            let_pivot,
            let_root,
            put(failed)(select(first, cast(k + 1, i32), held(failed))),
            steps.parallel(k, n, scaled),
            steps.parallel(k, n, lambda i: (steps.parallel(k, i + 1, lambda j: updated(i, j)),)),
        )

    def read(i: Var, j: Var) -> Block:
        return (put(g, i, j)(select(j <= i, at(x, i, j), steps.number(0))),)

    body = (
        steps.every(n, n, read),
        put(failed)(const(0, i32)),
        steps.steps(0, n, step),
        steps.every(n, n, lambda i, j: (put(lower, i, j)(at(g, i, j)),)),
        put(info)(held(failed)),
    )
    return batched(name, (x,), (lower, info), body, locals_=steps.locals)


def block_lu(name: str, x: Buffer, factors: Buffer, pivots: Buffer) -> Kernel:
    """The factors that `LuFactor` speaks of: columns are exchanged, so that in each row the pivot
    is the largest of what is left; of those that are as large, the first."""
    _, n, _ = x.shape
    steps = BlockSteps(x.dtype)
    g, column, row = steps.matrix("g", n, n), steps.shared("column", n), steps.shared("row", n)

    def step(k: Var) -> Block:
        def candidate(j: Var) -> tuple[Expr, Expr]:
            return select(j >= k, magnitude(at(g, k, j)), steps.number(-1)), j

        search, (_, best) = steps.joined("argmax", (n,), candidate)
        let_best, pivot = steps.named(best)

        def exchanged(i: Var) -> Block:
            let_old, old = steps.named(at(g, i, k))
            let_new, new = steps.named(at(g, i, pivot))
            return let_old, let_new, put(g, i, pivot)(old), put(g, i, k)(new), put(column, i)(new)

        def multiplier(j: Var) -> Block:
            singular = at(column, k).eq(0)
            return (put(row, j)(select(singular, at(g, k, j), at(g, k, j) / at(column, k))),)

        def updated(i: Var, j: Var) -> Block:
            less = minus(at(g, i, j), at(column, i), at(row, j))
            return (put(g, i, j)(select(i.eq(k), at(row, j), less)),)

        return (
            *search,
            let_best,
            put(pivots, k)(cast(pivot + 1, i32)),
            steps.parallel(0, n, exchanged),
            steps.parallel(k + 1, n, multiplier),
            steps.parallel(
                k, n, lambda i: (steps.parallel(k + 1, n, lambda j: updated(i, j)),)
            ),
        )

    body = (
        steps.every(n, n, lambda i, j: (put(g, i, j)(at(x, i, j)),)),
        steps.steps(0, n, step),
        steps.every(n, n, lambda i, j: (put(factors, i, j)(at(g, i, j)),)),
    )
    return batched(name, (x,), (factors, pivots), body, locals_=steps.locals)
