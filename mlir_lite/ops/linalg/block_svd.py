"""Singular values without a library, by the threads of a block: Jacobi's method from one side makes
the columns orthogonal (Hestenes 1958; Drmac and Veselic, "New fast and accurate Jacobi SVD
algorithm", 2008), reflections make them a basis.

The reflections of columns that are orthogonal make a diagonal matrix. They also give those left
singular vectors that belong to no value, or to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import sqrt as square_root

from ...expr import Expr, Var, apply, select
from ...sizes import round_up
from ...tile.nodes import Block, Buffer, Kernel
from ..kernels.batched import batched
from ..kernels.block_steps import BlockSteps, at, magnitude, put, sqrt
from .block_jacobi import Rotations, Sorted, norm_of
from .block_qr import Reflections

PARTS = 8  # of the products of two columns, each for a thread


@dataclass(frozen=True)
class _OneSided:
    """The columns of a matrix, of its transpose if that has fewer, as rows, and their rotations."""

    steps: BlockSteps
    x: Buffer
    turning: Rotations
    columns: Buffer  # a row each, from row 1 on
    products: Buffer  # by slot and part: of the first, the second, and both

    @staticmethod
    def of(steps: BlockSteps, x: Buffer) -> _OneSided:
        _, rows, columns = x.shape
        turning = Rotations.of(steps, min(rows, columns))
        length = round_up(max(rows, columns), PARTS)
        # Four more: rows that are read together then lie in other banks.
        kept = steps.shared("w", turning.rows, length + 4)
        products = steps.shared("products", 3, turning.slots, PARTS)
        return _OneSided(steps, x, turning, kept, products)

    @property
    def is_tall(self) -> bool:
        return self.x.shape[1] >= self.x.shape[2]

    @property
    def size(self) -> int:
        return self.turning.size

    @property
    def length(self) -> int:
        return max(self.x.shape[1:])

    @property
    def whole(self) -> int:
        """The length in whole parts."""
        return self.columns.shape[1] - 4

    def given(self, i: Expr, j: Expr) -> Expr:
        """Element `i` of column `j`."""
        return at(self.x, i, j) if self.is_tall else at(self.x, j, i)

    def brought(self, scale: Expr) -> Block:
        """The columns, times a number; zeros where there are none."""
        zero = self.steps.number(0)

        def element(i: Var, j: Var) -> Block:
            inside = (i >= 1) & (i <= self.size) & (j < self.length)
            value = select(inside, self.given(j, i - 1) * scale, zero)
            return (put(self.columns, i, j)(value),)

        return (self.steps.every(self.turning.rows, self.whole, element),)

    def round(self, norm: Expr, vectors: Buffer, number: Expr, parity: Expr) -> Block:
        """A round of rotations of the columns, and of `vectors`, whose rows turn along."""
        steps, turning = self.steps, self.turning
        # What is left of products beside these limits is as small as what rounding leaves.
        near = steps.number(steps.epsilon * (4 + square_root(self.length)))
        least = norm * (steps.epsilon / self.size)

        def product(row: Expr, kind: int, slot: Var, part: Var) -> Block:
            one, other = ((0, 0), (1, 1), (0, 1))[kind]

            def term(t: Var) -> Expr:
                place = t * PARTS + part
                return at(self.columns, row + one, place) * at(self.columns, row + other, place)

            sums, total = steps.total(self.whole // PARTS, term)
            return *sums, put(self.products, kind, slot, part)(total)

        def parts(slot: Var, part: Var) -> Block:
            let_row, row = steps.named(turning.row(slot, parity))
            made = [product(row, kind, slot, part) for kind in range(3)]
            return let_row, *(stmt for block in made for stmt in block)

        def whole(kind: int, slot: Var) -> tuple[Block, Expr]:
            sums, total = steps.total(PARTS, lambda part: at(self.products, kind, slot, part))
            let, name = steps.named(total)
            return (*sums, let), name

        def angle(slot: Var) -> Block:
            (of_first, first), (of_second, second), (of_both, both) = (
                whole(kind, slot) for kind in range(3)
            )
            large, small = sqrt(apply("max", first, second)), sqrt(apply("min", first, second))
            limit = large * apply("max", small * near, least)
            products = first, second, both
            turned, _ = turning.angle(slot, number, parity, products, limit)
            return *of_first, *of_second, *of_both, *turned

        return (
            steps.every(turning.slots, PARTS, parts),
            steps.parallel(0, turning.slots, angle),
            turning.rows_turned(self.columns, self.whole, parity),
            turning.rows_turned(vectors, self.size, parity),
        )

    def lengths(self, values: Buffer) -> Block:
        """The lengths of the columns."""

        def one(k: Var) -> Block:
            sums, square = self.steps.total(
                self.length, lambda i: at(self.columns, k + 1, i) * at(self.columns, k + 1, i)
            )
            return *sums, put(values, k)(sqrt(square))

        return (self.steps.parallel(0, self.size, one),)


def block_svd(
    name: str, x: Buffer, u: Buffer, values: Buffer, vt: Buffer, info: Buffer
) -> Kernel:
    """U, singular values, descending, and Vᵀ of `x (b, m, n)`; 1 in `info (b,)` for what does not
    converge, as what is not finite.

    Of each vector of the side that has fewer the largest element is positive.
    """
    steps = BlockSteps(x.dtype)
    work = _OneSided.of(steps, x)
    turning, ordered = work.turning, Sorted.of(steps, work.size)
    n, m = work.size, work.length
    many = u.shape[2] if work.is_tall else vt.shape[1]  # vectors of the longer side
    v, g = steps.matrix("v", turning.rows, n), steps.matrix("g", m, n)
    q = steps.matrix("q", m, many)
    largest, (most,) = steps.joined("max", (m, n), lambda i, j: (magnitude(work.given(i, j)),))
    powers, inward, outward = steps.scales(most)
    squares, norm, good = norm_of(steps, n, m, lambda i, j: at(work.columns, i + 1, j))
    made = Reflections.of(steps, g, m, n)

    def long(k: Var, i: Var) -> Expr:
        """A vector of the longer side; those that belong to no value as they are."""
        turned = select(at(made.diagonal, k) < 0, -at(q, i, k), at(q, i, k))
        own = turned * at(ordered.signs, k)
        return own if many == n else select(k < n, own, at(q, i, k))

    short = partial(ordered.vector, v)  # a vector of the side that has fewer
    left, right = (long, short) if work.is_tall else (short, long)
    body = (
        *largest,
        *powers,
        *work.brought(inward),
        turning.unit(v),
        *squares,
        *turning.swept(good, lambda number, parity: work.round(norm, v, number, parity)),
        *work.lengths(ordered.values),
        *ordered.sorted(good, v, descending=True),
        steps.every(
            m, n, lambda i, k: (put(g, i, k)(at(work.columns, ordered.place(k) + 1, i)),)
        ),
        *made.reduced(),
        *made.expanded(q, many),
        ordered.stored(values, outward),
        steps.every(u.shape[1], u.shape[2], lambda i, k: (put(u, i, k)(left(k, i)),)),
        steps.every(vt.shape[1], vt.shape[2], lambda k, i: (put(vt, k, i)(right(k, i)),)),
        put(info)(turning.failed(good)),
    )
    return batched(name, (x,), (u, values, vt, info), body, locals_=steps.locals)
