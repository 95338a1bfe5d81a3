"""Eigenvalues of symmetric matrices without a library, by the threads of a block: Jacobi's method
(Golub and Van Loan, "Matrix Computations", 8.5)."""

from __future__ import annotations

from functools import partial

from ...expr import Expr, Var, all_of, apply, select
from ...tile.nodes import Block, Buffer, Kernel
from ..kernels.batched import batched
from ..kernels.block_steps import BlockSteps, at, magnitude, put
from .block_jacobi import Rotations, Sorted, norm_of


def block_eigh(name: str, x: Buffer, values: Buffer, vectors: Buffer, info: Buffer) -> Kernel:
    """Eigenvalues, ascending, and eigenvectors, as columns, of the lower triangles of `x
    (b, n, n)`; 1 in `info (b,)` for what does not converge, as what is not finite.

    Of each eigenvector the largest element is positive.
    """
    _, n, _ = x.shape
    steps = BlockSteps(x.dtype)
    turning, ordered = Rotations.of(steps, n), Sorted.of(steps, n)
    a, v = steps.matrix("a", turning.rows, turning.rows), steps.matrix("v", turning.rows, n)
    shares = steps.shared("shares", turning.slots)

    def mirrored(i: Expr, j: Expr) -> Expr:
        return select(j <= i, at(x, i, j), at(x, j, i))

    def element(i: Var, j: Var) -> Block:
        inside = all_of(i >= 1, i <= n, j >= 1, j <= n)
        value = select(inside, mirrored(i - 1, j - 1) * inward, steps.number(0))
        return (put(a, i, j)(value),)

    largest, (most,) = steps.joined("max", (n, n), lambda i, j: (magnitude(mirrored(i, j)),))
    powers, inward, outward = steps.scales(most)
    squares, norm, good = norm_of(steps, n, n, lambda i, j: at(a, i + 1, j + 1))
    # All that is left out is less than the last digit of the norm.
    least = norm * (steps.epsilon / max(1, n))
    body = (
        *largest,
        *powers,
        steps.every(turning.rows, turning.rows, element),
        turning.unit(v),
        *squares,
        *turning.swept(good, partial(_round, turning, a, v, shares, least)),
        steps.parallel(0, n, lambda i: (put(ordered.values, i)(at(a, i + 1, i + 1)),)),
        *ordered.sorted(good, v, descending=False),
        ordered.stored(values, outward),
        steps.every(n, n, lambda i, k: (put(vectors, i, k)(ordered.vector(v, k, i)),)),
        put(info)(turning.failed(good)),
    )
    return batched(name, (x,), (values, vectors, info), body, locals_=steps.locals)


def _round(
    turning: Rotations,
    a: Buffer,
    vectors: Buffer,
    shares: Buffer,
    least: Expr,
    number: Expr,
    parity: Expr,
) -> Block:
    """A round of rotations of the rows and columns of `a`, and of `vectors`, whose rows turn along.
    `shares` is for what goes from one diagonal element to another, by slot."""
    steps = turning.steps

    def angle(slot: Var) -> Block:
        let_row, row = steps.named(turning.row(slot, parity))
        products = at(a, row, row), at(a, row + 1, row + 1), at(a, row, row + 1)
        turned, tangent = turning.angle(slot, number, parity, products, least)
        return let_row, *turned, put(shares, slot)(tangent * products[-1])

    def corner(above: Var, beside: Var) -> Block:
        return _turned(turning, a, shares, above, beside, parity)

    return (
        steps.parallel(0, turning.slots, angle),
        steps.every(turning.slots, turning.slots, corner),
        turning.rows_turned(vectors, turning.size, parity),
    )


def _turned(
    turning: Rotations, a: Buffer, shares: Buffer, above: Var, beside: Var, parity: Expr
) -> Block:
    """Turn the four elements where the rows of one slot meet the columns of another, or its own."""
    steps = turning.steps
    let_row, row = steps.named(turning.row(above, parity))
    let_column, column = steps.named(turning.row(beside, parity))
    lets = [let_row, let_column]

    def named(value: Expr) -> Expr:
        let, name = steps.named(value)
        lets.append(let)
        return name

    corners = [[named(at(a, row + i, column + j)) for j in (0, 1)] for i in (0, 1)]
    turned = [turning.turned(above, corners[0][j], corners[1][j]) for j in (0, 1)]
    rows = [
        list(turning.turned(beside, named(turned[0][i]), named(turned[1][i]))) for i in (0, 1)
    ]
    share = at(shares, above)
    own = named(all_of(above.eq(beside), turning.is_pair(above, parity)))
    turns = named(all_of(own, apply("ne", at(turning.sines, above), steps.number(0))))
    rows[0][0] = select(own, corners[1][1] + share, rows[0][0])
    rows[1][1] = select(own, corners[0][0] - share, rows[1][1])
    for i, j in ((0, 1), (1, 0)):
        rows[i][j] = select(turns, steps.number(0), rows[i][j])
    stores = [put(a, row + i, column + j)(rows[i][j]) for i in (0, 1) for j in (0, 1)]
    return *lets, *stores
