"""What the eigenvalues and the singular values of the threads of a block have in common: Jacobi's
rotations, as many at once as there are pairs of neighbours, which then change places.

In a sweep of n rounds, of neighbours from the first or from the second one on in turns, each of n
meets each other once (Luk and Park, "On parallel Jacobi orderings", 1989: the odd-even ordering).
A sweep without a rotation is the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...expr import Expr, Var, all_of, apply, cast, const, index, select, to_index
from ...tile.nodes import Block, Buffer, If, Stmt
from ...types import i32
from ..kernels.block_steps import BlockSteps, at, held, magnitude, put, sqrt
from ..kernels.statements import minus, plus

SWEEPS = 30  # at most; matrices that are not NaN take about ten


def norm_of(
    steps: BlockSteps, rows: int, columns: int, element: Callable[[Var, Var], Expr]
) -> tuple[Block, Expr, Expr]:
    """The root of the sum of the squares of a matrix's elements, and whether it is finite."""
    squares, (square,) = steps.joined(
        "sum", (rows, columns), lambda i, j: (element(i, j) * element(i, j),)
    )
    let_norm, norm = steps.named(sqrt(square))
    let_good, good = steps.named(norm < steps.number(float("inf")))
    return (*squares, let_norm, let_good), norm, good


@dataclass(frozen=True)
class Rotations:
    """The rotations of a round on `size` rows, which stand from row 1 on: those of a slot are `p`
    and the next. Slots at the ends have but one row that is there, or none."""

    steps: BlockSteps
    size: int
    sines: Buffer  # by slot
    halves: Buffer  # tangents of half the angles
    rotated: Buffer  # whether there was a rotation in this sweep
    going: Buffer  # whether there was one in the last

    @staticmethod
    def of(steps: BlockSteps, size: int) -> Rotations:
        slots = size // 2 + 1
        sines, halves = (steps.shared(name, slots) for name in ("sines", "halves"))
        rotated = steps.shared("rotated", slots, dtype=i32)
        return Rotations(steps, size, sines, halves, rotated, steps.register(dtype=i32))

    @property
    def slots(self) -> int:
        return self.size // 2 + 1

    @property
    def rows(self) -> int:
        """The rows of a matrix that is rotated, with those that are not there."""
        return self.size + 3

    def row(self, slot: Expr, parity: Expr) -> Expr:
        """The first row of a slot in a round of this parity."""
        return slot * 2 - parity + 1

    def is_pair(self, slot: Expr, parity: Expr) -> Expr:
        first = self.row(slot, parity)
        return all_of(first >= 1, first < self.size)

    def swept(self, good: Expr, make: Callable[[Expr, Expr], Block]) -> Block:
        """Rounds until nothing rotates, made of their number and parity; none if the matrix is not
        `good`."""
        steps = self.steps

        def round_(number: Var) -> Block:
            let_parity, parity = steps.named(number % 2)
            return let_parity, *make(number, parity)

        def sweep(_: Var) -> Block:
            counted, count = steps.total(self.slots, lambda slot: at(self.rotated, slot))
            rounds = steps.steps(0, self.size, round_)
            goes_on: Stmt = put(self.going)(count)
            return (If(held(self.going) > 0, (rounds, *counted, goes_on)),)

        started: Stmt = put(self.going)(select(good, const(1, i32), const(0, i32)))
        return started, steps.steps(0, SWEEPS, sweep)

    def failed(self, good: Expr) -> Expr:
        """1 where there are still rotations, else 0."""
        wrong = (held(self.going) > 0) | apply("not", good)
        return select(wrong, const(1, i32), const(0, i32))

    def angle(
        self,
        slot: Var,
        number: Expr,
        parity: Expr,
        products: tuple[Expr, Expr, Expr],
        least: Expr,
    ) -> tuple[Block, Expr]:
        """The rotation of a slot's rows in a round, and its tangent: it makes 0 the last of the
        `products` of the first row with itself, the second with itself, and both; none if that is
        not above `least`. Numerically as of Rutishauser, "The Jacobi method for real symmetric
        matrices", 1966."""
        first, second, product = products
        steps, one, zero = self.steps, self.steps.number(1), self.steps.number(0)
        let_pair, is_pair = steps.named(self.is_pair(slot, parity))
        let_turns, turns = steps.named(all_of(is_pair, magnitude(product) > least))
        let_slope, slope = steps.named(
            (second - first) / select(turns, product * 2, one)
        )
        let_steep, steep = steps.named(magnitude(slope))
        size = one / (steep + sqrt(plus(one, steep, steep)))
        let_tangent, tangent = steps.named(
            select(turns, select(slope < 0, -size, size), zero)
        )
        let_cosine, cosine = steps.named(one / sqrt(plus(one, tangent, tangent)))
        let_sine, sine = steps.named(tangent * cosine)
        before = select(number.eq(0), const(0, i32), at(self.rotated, slot))
        seen = select(turns, const(1, i32), before)
        block = (
            let_pair,
            let_turns,
            let_slope,
            let_steep,
            let_tangent,
            let_cosine,
            let_sine,
            # Of a row that is alone, and of one that is not there and 0, half a turn.
            put(self.sines, slot)(select(is_pair, sine, one)),
            put(self.halves, slot)(select(is_pair, sine / (one + cosine), one)),
            put(self.rotated, slot)(seen),
        )
        return block, tangent

    def turned(self, slot: Expr, upper: Expr, lower: Expr) -> tuple[Expr, Expr]:
        """What becomes of elements of the two rows, which then change places.

        A row that is alone stays where it is, perhaps with the other sign. A small angle changes
        the length of a row by no more than its own rounding.
        """
        sine, half = at(self.sines, slot), at(self.halves, slot)
        return (
            plus(lower, sine, minus(upper, half, lower)),
            minus(upper, sine, plus(lower, half, upper)),
        )

    def unit(self, vectors: Buffer) -> Stmt:
        """The unit matrix, from row 1 of `vectors` on: nothing has turned these yet."""
        zero, one = self.steps.number(0), self.steps.number(1)
        return self.steps.every(
            self.rows,
            self.size,
            lambda i, j: (put(vectors, i, j)(select(i.eq(j + 1), one, zero)),),
        )

    def rows_turned(self, matrix: Buffer, columns: int, parity: Expr) -> Stmt:
        """Turn the rows of a matrix."""
        steps = self.steps

        def element(slot: Var, i: Var) -> Block:
            let_row, row = steps.named(self.row(slot, parity))
            let_upper, upper = steps.named(at(matrix, row, i))
            let_lower, lower = steps.named(at(matrix, row + 1, i))
            new_upper, new_lower = self.turned(slot, upper, lower)
            return (
                let_row,
                let_upper,
                let_lower,
                put(matrix, row, i)(new_upper),
                put(matrix, row + 1, i)(new_lower),
            )

        return steps.every(self.slots, columns, element)


@dataclass(frozen=True)
class Sorted:
    """The order of values, and the signs that their vectors are to have."""

    steps: BlockSteps
    values: Buffer  # (n,)
    ranks: Buffer
    order: Buffer
    signs: Buffer

    @staticmethod
    def of(steps: BlockSteps, size: int) -> Sorted:
        return Sorted(
            steps,
            steps.shared("found", size),
            steps.shared("ranks", size, dtype=i32),
            steps.shared("order", size, dtype=i32),
            steps.shared("signs", size),
        )

    @property
    def size(self) -> int:
        return self.values.shape[0]

    def place(self, k: Expr) -> Expr:
        """Where the k-th value stands."""
        return to_index(at(self.order, k))

    def vector(self, vectors: Buffer, k: Var, i: Var) -> Expr:
        """Element `i` of the vector of the k-th value, with its sign."""
        return at(vectors, self.place(k) + 1, i) * at(self.signs, k)

    def stored(self, values: Buffer, scale: Expr) -> Stmt:
        """Store the values in their order, times a number."""
        return self.steps.parallel(
            0, self.size, lambda k: (put(values, k)(at(self.values, self.place(k)) * scale),)
        )

    def sorted(self, good: Expr, vectors: Buffer, *, descending: bool) -> Block:
        """Sort the values; of those that are equal, and where they are not `good`, the first comes
        first. Of each vector, a row of `vectors` from row 1 on, the largest element is to be
        positive."""
        steps, values, n = self.steps, self.values, self.size
        one = steps.number(1)

        def rank(i: Var) -> Block:
            def before(j: Var) -> Expr:
                mine, other = at(values, i), at(values, j)
                less = other > mine if descending else other < mine
                even = other.eq(mine) & (j < i)
                first = select(good, less | even, j < i)
                return select(first, const(1, i32), const(0, i32))

            counted, count = steps.total(n, before)
            return *counted, put(self.ranks, i)(count)

        def order(k: Var) -> Block:
            found, (place,) = steps.joined(
                "max",
                (n,),
                lambda i: (select(to_index(at(self.ranks, i)).eq(k), i, index(0)),),
            )
            let_row, row = steps.named(place + 1)
            search, (_, best) = steps.joined(
                "argmax", (n,), lambda i: (magnitude(at(vectors, row, i)), i)
            )
            let_best, best = steps.named(best)
            sign = select(at(vectors, row, best) < 0, -one, one)
            kept = put(self.order, k)(cast(place, i32))
            return *found, let_row, *search, let_best, kept, put(self.signs, k)(sign)

        return steps.parallel(0, n, rank), steps.parallel(0, n, order)
