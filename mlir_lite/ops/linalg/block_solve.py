"""Triangular systems without a library, by the threads of a block, which has some columns of the
right sides: each row that is known is taken from all that follow it (Golub and Van Loan, "Matrix
Computations", 3.1.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...expr import Expr, Var, index, select, to_index
from ...tile.nodes import Block, Buffer, If, Kernel, Kind, Loop
from ..kernels.batched import batched
from ..kernels.block_steps import BlockSteps, at, put
from ..kernels.statements import minus

COLUMNS = 32  # of the right sides that a block has
STAGED_BYTES = 24 << 10  # of a matrix that is read into the memory of the block first


@dataclass(frozen=True)
class _Panel:
    """Some columns of the right sides of one system, in the memory of a block."""

    steps: BlockSteps
    matrix: Buffer  # what is read, (n, n) at the batch's index
    own: Buffer | None  # that in the memory of the block, if it has room
    rhs: Buffer
    out: Buffer
    right: Buffer  # (n, w)
    inverses: Buffer  # one over each element of the diagonal
    first: Expr  # column

    @property
    def size(self) -> int:
        return self.right.shape[0]

    @property
    def width(self) -> int:
        return min(COLUMNS, self.rhs.shape[2])

    def element(self, i: Expr, j: Expr, *, transposed: bool) -> Expr:
        """An element of the matrix or its transpose."""
        matrix = self.matrix if self.own is None else self.own
        return at(matrix, *((j, i) if transposed else (i, j)))

    def brought(self) -> Block:
        """The matrix and the right sides; nothing for columns that are not there."""
        steps, n = self.steps, self.size

        def column(i: Var, c: Var) -> Block:
            here = self.first + c
            value = at(self.rhs, i, here)
            whole = self.rhs.shape[2] % self.width == 0
            there = value if whole else select(here < self.rhs.shape[2], value, steps.number(0))
            return (put(self.right, i, c)(there),)

        columns = steps.every(n, self.width, column)
        if self.own is None:
            return (columns,)
        own, matrix = self.own, self.matrix
        return steps.every(n, n, lambda i, j: (put(own, i, j)(at(matrix, i, j)),)), columns

    def written(self) -> Block:
        """The results."""

        def column(i: Var, c: Var) -> Block:
            here = self.first + c
            stored = put(self.out, i, here)(at(self.right, i, c))
            whole = self.rhs.shape[2] % self.width == 0
            return (stored if whole else If(here < self.rhs.shape[2], (stored,)),)

        return (self.steps.every(self.size, self.width, column),)

    def inverted(self) -> Block:
        """One over the diagonal."""
        one = self.steps.number(1)
        return (
            self.steps.parallel(
                0,
                self.size,
                lambda i: (put(self.inverses, i)(one / self.element(i, i, transposed=False)),),
            ),
        )

    def substituted(self, *, forward: bool, transposed: bool, unit: bool) -> Block:
        """Solve with a triangle of the matrix or its transpose, the lower one `forward`; `unit`
        takes the diagonal for ones. The `inverses` must be there if it is not."""
        steps, n = self.steps, self.size

        def solved(i: Expr, c: Expr) -> Expr:
            value = at(self.right, i, c)
            return value if unit else value * at(self.inverses, i)

        def step(turn: Var) -> Block:
            known: Expr = turn if forward else index(n - 1) - turn

            def less(i: Var, c: Var) -> Block:
                factor = self.element(i, known, transposed=transposed)
                left = minus(at(self.right, i, c), factor, solved(known, c))
                return (put(self.right, i, c)(left),)

            def row(i: Var) -> Block:
                return (steps.parallel(0, self.width, lambda c: less(i, c)),)

            low, high = (known + 1, index(n)) if forward else (index(0), known)
            return (steps.parallel(low, high, row),)

        whole = steps.steps(0, n, step)
        if unit:
            return (whole,)
        scaled = steps.every(
            n, self.width, lambda i, c: (put(self.right, i, c)(solved(i, c)),)
        )
        return whole, scaled

    def exchanged(self, pivots: Buffer, *, forward: bool) -> Block:
        """Rows exchanged as `pivots`, which count from 1, say, from the first one or the last one
        on."""
        steps, n, right = self.steps, self.size, self.right

        def column(c: Var) -> Block:
            def exchange(turn: Var) -> Block:
                k: Expr = turn if forward else index(n - 1) - turn
                let_other, other = steps.named(to_index(at(pivots, k)) - 1)
                let_mine, mine = steps.named(at(right, k, c))
                moved = put(right, k, c)(at(right, other, c))
                return let_other, let_mine, moved, put(right, other, c)(mine)

            return (steps.loop(0, n, exchange),)

        return (steps.parallel(0, self.width, column),)


def _solving(
    name: str,
    inputs: tuple[Buffer, ...],
    rhs: Buffer,
    out: Buffer,
    body: Callable[[_Panel], Block],
) -> Kernel:
    """The kernel that solves systems with the matrices of the first input, a block for some columns
    of each."""
    matrix, steps = inputs[0], BlockSteps(rhs.dtype)
    _, n, columns = rhs.shape
    width = min(COLUMNS, columns)
    staged = n * n * rhs.dtype.bytes <= STAGED_BYTES
    panel = Var(index(0).dtype, "panel")
    work = _Panel(
        steps,
        matrix,
        steps.matrix("own", n, n) if staged else None,
        rhs,
        out,
        steps.shared("right", n, width),
        steps.shared("inverses", n),
        panel * width,
    )
    panels = Loop(panel.name, index(0), index(-(-columns // width)), body(work), Kind.PARALLEL)
    return batched(name, (*inputs, rhs), (out,), (panels,), locals_=steps.locals)


def block_substitution(
    name: str,
    matrix: Buffer,
    rhs: Buffer,
    out: Buffer,
    *,
    lower: bool,
    transposed: bool,
    unit: bool,
) -> Kernel:
    """X with `op(A) X = B` for triangles A `(b, n, n)` and B `(b, n, k)`."""

    def body(panel: _Panel) -> Block:
        return (
            *panel.brought(),
            *(() if unit else panel.inverted()),
            *panel.substituted(forward=lower != transposed, transposed=transposed, unit=unit),
            *panel.written(),
        )

    return _solving(name, (matrix,), rhs, out, body)


def block_lu_solve(
    name: str, matrix: Buffer, pivots: Buffer, rhs: Buffer, out: Buffer, *, transposed: bool
) -> Kernel:
    """The solutions `A X = B`, or `Aᵀ X = B`, from what `LuFactor` made of A: with Aᵀ = P L U, Lᵀ
    is the upper triangle of the matrix, its diagonal ones, and Uᵀ the lower one."""

    def body(panel: _Panel) -> Block:
        def upper() -> Block:
            return panel.substituted(forward=not transposed, transposed=transposed, unit=False)

        def ones() -> Block:
            return panel.substituted(forward=transposed, transposed=transposed, unit=True)

        if transposed:
            order = (*panel.exchanged(pivots, forward=True), *ones(), *upper())
        else:
            order = (*upper(), *ones(), *panel.exchanged(pivots, forward=False))
        return *panel.brought(), *panel.inverted(), *order, *panel.written()

    return _solving(name, (matrix, pivots), rhs, out, body)
