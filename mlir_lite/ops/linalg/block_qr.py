"""Householder reflections by the threads of a block: QR without a library (Golub and Van Loan,
"Matrix Computations", 5.1 and 5.2), each thread on columns of its own.

The signs are those of LAPACK: an element of R's diagonal has the opposite sign of what it was made
of, unless there is nothing below that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...expr import Expr, Var, index, select
from ...tile.nodes import Block, Buffer, If, Kernel
from ..kernels.batched import batched
from ..kernels.block_steps import BlockSteps, at, magnitude, put, sqrt
from ..kernels.statements import minus, plus


@dataclass(frozen=True)
class Reflections:
    """The reflections that make a matrix `g (m, n)` triangular: 1 - tau v vᵀ, where v has zeros
    above its place, 1 there, and what is kept below in `g`."""

    steps: BlockSteps
    g: Buffer
    length: int  # m
    columns: int  # n
    scales: Buffer  # tau
    diagonal: Buffer  # of R
    vector: Buffer

    @staticmethod
    def of(steps: BlockSteps, g: Buffer, length: int, columns: int) -> Reflections:
        count = min(length, columns)
        scales, diagonal = steps.shared("scales", count), steps.shared("diagonal", count)
        return Reflections(
            steps, g, length, columns, scales, diagonal, steps.shared("vector", length)
        )

    @property
    def count(self) -> int:
        return min(self.length, self.columns)

    def reduced(self) -> Block:
        """Make the matrix triangular; R is in its place, but for the diagonal."""
        return (self.steps.steps(0, self.count, self._step),)

    def _step(self, k: Var) -> Block:
        steps, g, zero = self.steps, self.g, self.steps.number(0)

        def below(i: Var) -> Expr:
            return select(i > k, at(g, i, k) * at(g, i, k), zero)

        sums, rest = steps.total(self.length, below)
        let_rest, rest = steps.named(rest)
        let_head, head = steps.named(at(g, k, k))
        norm = sqrt(plus(rest, head, head))
        let_new, new = steps.named(
            select(rest.eq(0), head, select(head < 0, norm, -norm))
        )
        scale = select(rest.eq(0), zero, (new - head) / new)
        let_inverse, inverse = steps.named(
            select(rest.eq(0), zero, steps.number(1) / (head - new))
        )

        def element(i: Var) -> Block:
            ends = select(i.eq(k), steps.number(1), zero)
            return (put(self.vector, i)(select(i > k, at(g, i, k) * inverse, ends)),)

        def column(j: Var) -> Block:
            kept = steps.loop(k, self.length, lambda i: (put(g, i, k)(at(self.vector, i)),))
            return (If(j.eq(k), (kept,), self._reflected(g, j, k, lambda i: at(self.vector, i))),)

        return (
            *sums,
            let_rest,
            let_head,
            let_new,
            let_inverse,
            put(self.scales, k)(scale),
            put(self.diagonal, k)(new),
            steps.parallel(0, self.length, element),
            steps.parallel(k, self.columns, column),
        )

    def _reflected(
        self, target: Buffer, j: Expr, k: Expr, vector: Callable[[Expr], Expr]
    ) -> Block:
        """Reflect column `j` of a matrix, whose `vector` begins at row `k`."""
        steps = self.steps
        sums, total = steps.total(
            self.length, lambda i: vector(i) * at(target, i, j), start=k
        )
        let_share, share = steps.named(total * at(self.scales, k))

        def less(i: Var) -> Block:
            return (put(target, i, j)(minus(at(target, i, j), share, vector(i))),)

        return *sums, let_share, steps.loop(k, self.length, less)

    def expanded(self, q: Buffer, columns: int) -> Block:
        """Put as many columns of Q, orthonormal ones, into `q (m, columns)`."""
        steps = self.steps

        def column(j: Var) -> Block:
            def unit(i: Var) -> Block:
                one, zero = steps.number(1), steps.number(0)
                return (put(q, i, j)(select(i.eq(j), one, zero)),)

            def reflected(turn: Var) -> Block:
                let_k, k = steps.named(index(self.count - 1) - turn)
                # A unit vector stays what it is under those that begin below its one.
                done = self._reflected(q, j, k, lambda i: at(self.g, i, k))
                return let_k, If(k <= j, done)

            return (
                steps.loop(0, self.length, unit),
                steps.steps(0, self.count, reflected),
            )

        return (steps.parallel(0, columns, column),)

    def triangle(self, i: Expr, j: Expr) -> Expr:
        """An element of R."""
        above = select(j > i, at(self.g, i, j), self.steps.number(0))
        return select(i.eq(j), at(self.diagonal, i), above)


def block_qr(name: str, x: Buffer, q: Buffer, r: Buffer) -> Kernel:
    """Q with orthonormal columns and upper triangular R of matrices `x (b, m, n)`."""
    _, rows, columns = x.shape
    inner = min(rows, columns)
    steps = BlockSteps(x.dtype)
    g, own = steps.matrix("g", rows, columns), steps.matrix("own", rows, inner)
    largest, (most,) = steps.joined(
        "max", (rows, columns), lambda i, j: (magnitude(at(x, i, j)),)
    )
    powers, inward, outward = steps.scales(most)
    made = Reflections.of(steps, g, rows, columns)
    body = (
        *largest,
        *powers,
        steps.every(rows, columns, lambda i, j: (put(g, i, j)(at(x, i, j) * inward),)),
        *made.reduced(),
        *made.expanded(own, inner),
        steps.every(
            inner, columns, lambda i, j: (put(r, i, j)(made.triangle(i, j) * outward),)
        ),
        steps.every(rows, inner, lambda i, j: (put(q, i, j)(at(own, i, j)),)),
    )
    return batched(name, (x,), (q, r), body, locals_=steps.locals)
