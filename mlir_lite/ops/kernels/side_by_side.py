"""Kernels for many small matrices at once: element [i, j] of as many matrices as a vector has lanes
lies side by side, so that one vector operation does the same step for all of them.

    for k in 0..j: vector lane: acc[a, b, lane] -= g[i + a, k, lane] * g[j + b, k, lane]

A factorisation is made of divisions and roots that wait for one another; here as many matrices wait
together. Blocks of 4x4 elements stay in registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...expr import Expr, Var, apply, index, select
from ...sizes import round_up
from ...tile.nodes import Block, Buffer, Stmt
from .lanes import Lanes, get, put
from .statements import Make, minus

BLOCK = 4  # rows and columns of the blocks in registers


@dataclass
class SideBySide(Lanes):
    """Builds blocks of statements on matrices of `size` rows, one to each of the `lanes`.

    `matrix` holds them, its rows rounded up to whole blocks (the rest an identity), its columns to
    whole vectors; `inverses` one over each diagonal element of the factor; `right` a matrix of
    `columns` for each, row after row; `failed` is not 0 where a matrix is not positive definite.
    """

    size: int
    columns: int = 1

    def __post_init__(self) -> None:
        lanes, rows = self.lanes, self.rows
        # A column more: rows a power of two apart would share a set of the nearest cache.
        self.matrix = self.shared("g", rows, round_up(rows, lanes) + 1, lanes)
        self.inverses = self.shared("inverse", rows, lanes)
        self.right = self.shared("z", round_up(rows * self.columns, lanes), lanes)
        self.failed = self.shared("failed", lanes)

    @property
    def rows(self) -> int:
        return round_up(self.size, BLOCK)

    def turned(self, source: Buffer) -> Block:
        """Bring `source[lane, i, j]`, lower triangles, side by side."""
        lanes, g = self.lanes, self.matrix

        def part(i: Var, first: Expr) -> Block:
            return self.turn(
                lambda lane, j: get(source, lane, i, first + j),
                lambda lane, j: put(g, i, first + j, lane),
            )

        def row(i: Var) -> Block:
            vectors = apply("floordiv", i, index(lanes)) + 1
            return (self.loop(0, vectors, lambda number: part(i, number * lanes)),)

        return (self.loop(0, self.size, row),)

    def turned_right(self, source: Buffer) -> Block:
        """Bring `source[lane, i]`, a right side for each matrix, side by side."""
        lanes, z = self.lanes, self.right

        def part(number: Var) -> Block:
            first = number * lanes
            return self.turn(
                lambda lane, j: get(source, lane, first + j),
                lambda lane, j: put(z, first + j, lane),
            )

        return (self.loop(0, z.shape[0] // lanes, part),)

    def padded(self) -> Block:
        """An identity in the rows that are there for whole blocks only."""
        stmts: list[Stmt] = []
        for i in range(self.size, self.rows):
            for j in range(i + 1):
                stmts.append(self.filled(int(i == j), self.matrix, i, j))
        for place in range(self.size * self.columns, self.rows * self.columns):
            stmts.append(self.filled(0, self.right, place))
        return tuple(stmts)

    def factored(self) -> Block:
        """Put the Cholesky factor in the place of each matrix (left-looking, by blocks)."""
        blocks = self.rows // BLOCK

        def column(j: Var) -> Block:
            return (
                *self._diagonal(j * BLOCK),
                self.loop(j + 1, index(blocks), lambda i: self._below(i * BLOCK, j * BLOCK)),
            )

        return self.filled(0, self.failed), self.loop(0, blocks, column)

    def _updated(self, row: Expr, column: Expr, *, lower: bool) -> tuple[Buffer, Block]:
        """A block of the matrix less what the columns before it explain, in registers."""
        acc, g = self.register(BLOCK, BLOCK, self.lanes), self.matrix
        pairs = [(a, b) for a in range(BLOCK) for b in range(BLOCK) if b <= a or not lower]

        def loaded(v: Var) -> Block:
            return tuple(
                put(acc, a, b, v)(get(g, row + a, column + b, v)) for a, b in pairs
            )

        def less(k: Var) -> Block:
            def each(v: Var) -> Block:
                return tuple(
                    put(acc, a, b, v)(
                        minus(get(acc, a, b, v), get(g, row + a, k, v), get(g, column + b, k, v))
                    )
                    for a, b in pairs
                )

            return (self.vector(each),)

        return acc, (self.vector(loaded), self.loop(0, column, less))

    def _diagonal(self, place: Expr) -> Block:
        acc, block = self._updated(place, place, lower=True)
        g, inverses, failed = self.matrix, self.inverses, self.failed

        def factor(v: Var) -> Block:
            stmts: list[Stmt] = []
            for b in range(BLOCK):
                pivot = get(acc, b, b, v)
                # Of a NaN too: it is not above 0.
                flag = select(pivot > 0, get(failed, v), self.number(1))
                stmts.append(put(failed, v)(flag))
                stmts.append(put(inverses, place + b, v)(self.number(1) / apply("sqrt", pivot)))
                for a in range(b, BLOCK):
                    scaled = get(acc, a, b, v) * get(inverses, place + b, v)
                    stmts.append(put(acc, a, b, v)(scaled))
                    stmts.append(put(g, place + a, place + b, v)(get(acc, a, b, v)))
                stmts.extend(
                    put(acc, a, c, v)(
                        minus(get(acc, a, c, v), get(acc, a, b, v), get(acc, c, b, v))
                    )
                    for c in range(b + 1, BLOCK)
                    for a in range(c, BLOCK)
                )
            return tuple(stmts)

        return (*block, self.vector(factor))

    def _below(self, row: Expr, column: Expr) -> Block:
        acc, block = self._updated(row, column, lower=False)
        g, inverses = self.matrix, self.inverses

        def solve(v: Var) -> Block:
            stmts: list[Stmt] = []
            for b in range(BLOCK):
                for a in range(BLOCK):
                    scaled = get(acc, a, b, v) * get(inverses, column + b, v)
                    stmts.append(put(acc, a, b, v)(scaled))
                    stmts.append(put(g, row + a, column + b, v)(get(acc, a, b, v)))
                stmts.extend(
                    put(acc, a, c, v)(
                        minus(
                            get(acc, a, c, v),
                            get(acc, a, b, v),
                            get(g, column + c, column + b, v),
                        )
                    )
                    for c in range(b + 1, BLOCK)
                    for a in range(BLOCK)
                )
            return tuple(stmts)

        return (*block, self.vector(solve))

    def solved(self) -> Block:
        """Put the solution for each factored matrix in the place of its `right` side."""
        return *self.substituted(forward=True), *self.substituted(forward=False)

    def substituted(self, *, forward: bool) -> Block:
        """Solve `L z = b`, or `Lᵀ x = z`, for each column of the right sides, in their place."""
        blocks = self.rows // BLOCK

        def block(column: Var) -> Make:
            def make(number: Var) -> Block:
                place = number if forward else blocks - 1 - number
                return self._block_of_rows(place * BLOCK, column, forward=forward)

            return make

        return (self.loop(0, self.columns, lambda c: (self.loop(0, blocks, block(c)),)),)

    def _block_of_rows(self, place: Expr, column: Expr, *, forward: bool) -> Block:
        acc, inverses = self.register(BLOCK, self.lanes), self.inverses

        def at(row: Expr) -> Expr:
            return row * self.columns + column

        def factor(row: Expr, other: Expr, v: Var) -> Expr:
            return get(self.matrix, *((row, other) if forward else (other, row)), v)

        def loaded(v: Var) -> Block:
            return tuple(put(acc, a, v)(get(self.right, at(place + a), v)) for a in range(BLOCK))

        def less(k: Var) -> Block:
            def each(v: Var) -> Block:
                known = get(self.right, at(k), v)
                return tuple(
                    put(acc, a, v)(minus(get(acc, a, v), factor(place + a, k, v), known))
                    for a in range(BLOCK)
                )

            return (self.vector(each),)

        order = list(range(BLOCK) if forward else reversed(range(BLOCK)))

        def solve(v: Var) -> Block:
            stmts: list[Stmt] = []
            for step, a in enumerate(order):
                stmts.append(put(acc, a, v)(get(acc, a, v) * get(inverses, place + a, v)))
                stmts.append(put(self.right, at(place + a), v)(get(acc, a, v)))
                stmts.extend(
                    put(acc, c, v)(
                        minus(get(acc, c, v), factor(place + c, place + a, v), get(acc, a, v))
                    )
                    for c in order[step + 1 :]
                )
            return tuple(stmts)

        known = self.loop(0, place, less) if forward else self.loop(place + BLOCK, self.rows, less)
        return self.vector(loaded), known, self.vector(solve)

    def inverted(self, *, unit: bool) -> Block:
        """One over the diagonal, of a factor that is given; `unit` takes the diagonal for ones."""

        def inverse(i: Var) -> Block:
            one, g = self.number(1), self.matrix
            return (
                self.vector(
                    lambda v: (put(self.inverses, i, v)(one if unit else one / get(g, i, i, v)),)
                ),
            )

        return (self.loop(0, self.rows, inverse),)
