"""The three stages of a matrix product by seven products of halves instead of eight.

    u = strassen_input(x)                    [7, m/2, k/2]
    v = strassen_panels(w)                   [n/2 / width, 7, k/2, width]
    y = strassen_matmul(u, v)                [.., n], the sums of the seven products too

Each matrix is cut in four: rows and columns in halves (V. Strassen, "Gaussian Elimination is not
Optimal", 1969). The factors are sums of at most two quarters, so that the magnitude of what is
rounded grows only a little, and each quarter of the result is a sum of at most four products.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TypeVar

import numpy as np

from ...errors import check
from ...expr import Expr, Load, Var, cast, const, index
from ...ir import Op, Value, constructor, op
from ...memory import aligned_empty
from ...sizes import static
from ...tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    If,
    Kernel,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
)
from ...tile.tree import loops_over, var
from ...types import Array, TensorType
from ..base.body import computing_type
from ..base.promote import check_kind, check_same_dtype
from ..kernels.padded import padded
from ..reductions.reduce import widened
from ..shapes.join import stack
from ..shapes.shape import transpose
from ..shapes.slice import slice_axes
from .panels import pack_columns

PRODUCTS = 7

_Term = TypeVar("_Term", Expr, Value, Array)

# How often each quarter, in rows, is in the factors of each product, and each product in each
# quarter of the result.
LEFT = (
    (1, 0, 0, 1),
    (0, 0, 1, 1),
    (1, 0, 0, 0),
    (0, 0, 0, 1),
    (1, 1, 0, 0),
    (-1, 0, 1, 0),
    (0, 1, 0, -1),
)
RIGHT = (
    (1, 0, 0, 1),
    (1, 0, 0, 0),
    (0, 1, 0, -1),
    (-1, 0, 1, 0),
    (0, 0, 0, 1),
    (1, 1, 0, 0),
    (0, 0, 1, 1),
)
RESULT = (
    (1, 0, 0, 1, -1, 0, 1),
    (0, 0, 1, 0, 1, 0, 0),
    (0, 1, 0, 1, 0, 0, 0),
    (1, -1, 1, 0, 0, 1, 0),
)


@op
class StrassenInput(Op):
    """The left factors of the seven products: `(*rows, k) -> (7, m / 2, k / 2)`, where `m` is the
    number of all rows; it and `k` are even."""

    x: Value

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check(self.x.rank >= 2, f"takes a matrix, not {self.x.type}")
        *rows, k = self.x.type.static_shape
        m = prod(rows)
        check(m % 2 == k % 2 == 0, f"{m} rows and {k} columns have no halves")
        return self.x.type.with_shape((PRODUCTS, m // 2, k // 2))

    def reference(self, x: Array) -> Array:
        quarters = list(quarters_of(widened(x).reshape(-1, x.shape[-1])))
        factors: Array = np.stack([signed_sum(row, quarters) for row in LEFT])
        return factors.astype(x.dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over half of the rows and half of the columns around straight-line code."""
        dtype, wide = self.x.dtype, computing_type(self.x.dtype)
        x = Buffer("x", dtype, self.x.type.static_shape)
        out = Buffer("out", dtype, self.infer().static_shape)
        _, rows, columns = out.shape
        i, c = var("i"), var("c")
        quarters = []
        for down, across in product((0, 1), repeat=2):
            place = (*_unravelled(i + down * rows, x.shape[:-1]), c + across * columns)
            quarters.append(cast(Load(dtype, "x", place), wide))
        code, names = _named("a", quarters)
        for p, row in enumerate(LEFT):
            code.append(Store(Ref("out", (index(p), i, c)), cast(signed_sum(row, names), dtype)))
        loops = loops_over((("i", rows), ("c", columns)), tuple(code))
        return Kernel(name, (x, out), ("out",), loops)


@op
class StrassenPanels(Op):
    """The right factors of the seven products, those of some columns next to one another: of
    `(k, n)`, both even, `(n / 2 / width, 7, k / 2, width)`.

    The last panels are filled up with zeros. On constants this is done once.
    """

    matrix: Value
    width: int

    def infer(self) -> TensorType:
        check_kind(self.matrix, "f")
        check(self.matrix.rank == 2, f"takes a matrix, not {self.matrix.type}")
        check(self.width > 0, f"a panel of {self.width} columns")
        k, n = self.matrix.type.static_shape
        check(k % 2 == n % 2 == 0, f"{k} rows and {n} columns have no halves")
        shape = (-(-n // 2 // self.width), PRODUCTS, k // 2, self.width)
        return self.matrix.type.with_shape(shape)

    def reference(self, matrix: Array) -> Array:
        count, _, inner, width = self.infer().static_shape
        quarters = list(quarters_of(matrix))
        columns = quarters[0].shape[1]
        made = aligned_empty(self.infer().static_shape, matrix.dtype)
        factor = np.zeros((inner, count * width), matrix.dtype)
        for p, row in enumerate(RIGHT):  # one at a time, as weights are large
            factor[:, :columns] = signed_sum(row, quarters)
            made[:, p] = factor.reshape(inner, count, width).swapaxes(0, 1)
        return made

    def decompose(self, matrix: Value) -> Value:
        k, n = self.matrix.type.static_shape
        halves = (k // 2, n // 2)
        quarters = [
            slice_axes(matrix, (down * halves[0], across * halves[1]), halves)
            for down, across in product((0, 1), repeat=2)
        ]
        factors = stack([signed_sum(row, quarters) for row in RIGHT])
        return transpose(pack_columns(factors, self.width), (1, 0, 2, 3))


@op
class StrassenMatmul(Op):
    """A matrix product out of the seven of its halves, a block of rows and of columns at a time.

    `(7, m / 2, k / 2) x (count, 7, k / 2, width) -> (*rows, columns)`: the factors are those of
    `StrassenInput` and `StrassenPanels`; `rows` are `m` together. A block has `height` rows and
    `width` columns of each half.
    """

    points: Value
    panels: Value
    rows: tuple[int, ...]
    columns: int
    height: int

    def infer(self) -> TensorType:
        points, panels = self.points.type, self.panels.type
        check_kind(self.points, "f")
        check_same_dtype(self.points, self.panels)
        check(points.rank == 3, f"takes the left factors of {PRODUCTS} products, not {points}")
        check(panels.rank == 4, f"takes panels of {PRODUCTS} matrices, not {panels}")
        many, m, k = points.static_shape
        count, number, inner, width = panels.static_shape
        check(many == number == PRODUCTS, f"takes {PRODUCTS} products, not {many} and {number}")
        check(k == inner, f"{k} columns meet {inner} rows")
        check(prod(self.rows) == 2 * m, f"{self.rows} are not {2 * m} rows")
        check(width > 0 < self.height, f"blocks of {self.height} rows in panels of {width} columns")
        fits = self.columns % 2 == 0 and -(-self.columns // 2 // width) == count
        check(fits, f"{self.columns} columns in twice {count} panels of {width}")
        check(m % self.height == 0, f"blocks of {self.height} rows do not make {m}")
        return points.with_shape((*self.rows, self.columns))

    def reference(self, points: Array, panels: Array) -> Array:
        _, number, k, _ = panels.shape
        matrices = np.moveaxis(panels, 0, -2).reshape(number, k, -1)[..., : self.columns // 2]
        products = widened(points) @ widened(matrices)
        quarters: Array = np.stack([signed_sum(row, list(products)) for row in RESULT])
        halves = quarters.reshape(2, 2, *quarters.shape[1:]).transpose(0, 2, 1, 3)
        return halves.reshape(*self.rows, self.columns).astype(points.dtype)

    def kernel(self, name: str) -> Kernel:
        """Two nests in loops over the blocks: seven products, and the sums of them."""
        dtype, wide = self.points.dtype, computing_type(self.points.dtype)
        points = Buffer("points", dtype, self.points.type.static_shape)
        panels = Buffer("panels", dtype, self.panels.type.static_shape)
        out = Buffer("out", dtype, static(self.infer().shape))
        total = Buffer("total", wide, (), Space.REGISTER)
        count, _, _, width = panels.shape
        # In memory a row more, so that the elements of one place in all the products are not in
        # the same few sets of the nearest cache.
        shape = (PRODUCTS, self.height, width)
        memory = (PRODUCTS, self.height + 1, width)
        products = padded("products", wide, "pij", shape, memory)
        body = (
            *self._products(points, panels, products, total),
            *self._sums(products, out),
        )
        loops = loops_over((("n", count), ("m", points.shape[1] // self.height)), body)
        return Kernel(name, (points, panels, out), ("out",), loops, (products, total))

    def _products(self, points: Buffer, panels: Buffer, products: Buffer, total: Buffer) -> Block:
        """`for p, i, j: products[p, i, j] = sum over k of points[p, i, k] * panels[p, k, j]`."""
        p, i, j, k = (var(name) for name in "pijk")
        left = Load(points.dtype, points.name, (p, var("m") * self.height + i, k))
        right = Load(panels.dtype, panels.name, (var("n"), p, k, j))
        term = cast(left, total.dtype) * cast(right, total.dtype)
        update = Accumulate("sum", (Ref(total.name, ()),), (term,))
        body: Block = (
            Store(Ref(total.name, ()), const(0, total.dtype)),
            Loop(k.name, index(0), index(panels.shape[2]), (update,)),
            Store(Ref(products.name, (p, i, j)), Load(total.dtype, total.name, ())),
        )
        return loops_over(zip("pij", products.shape, strict=True), body)

    def _sums(self, products: Buffer, out: Buffer) -> Block:
        """`for r, c: out[.., ..] = sums of products[.., r, c]`, a quarter of the result each."""
        _, height, width = products.shape
        r, c = var("r"), var("c")
        half = (prod(self.rows) // 2, self.columns // 2)
        row, column = var("m") * height + r, var("n") * width + c
        loads = [Load(products.dtype, products.name, (index(p), r, c)) for p in range(PRODUCTS)]
        code, names = _named("m", loads)
        for quarter, coefficients in enumerate(RESULT):
            down, across = divmod(quarter, 2)
            place = (*_unravelled(row + down * half[0], self.rows), column + across * half[1])
            value = cast(signed_sum(coefficients, names), out.dtype)
            code.append(Store(Ref(out.name, place), value))
        body = tuple(code)
        if half[1] % width:
            body = (If(column < half[1], body),)
        return loops_over((("r", height), ("c", width)), body)


def _unravelled(row: Expr, shape: Sequence[int]) -> tuple[Expr, ...]:
    """The indices of a row by its number among all rows of such a shape."""
    places: list[Expr] = []
    for size in reversed(static(tuple(shape))[1:]):
        places.append(row % size)
        row = row // size
    return (row, *reversed(places))


def _named(prefix: str, values: Sequence[Expr]) -> tuple[list[Stmt], list[Expr]]:
    """Values that several sums have, each read once, and what they are called."""
    names = [f"{prefix}{number}" for number in range(len(values))]
    lets: list[Stmt] = [Let(name, value) for name, value in zip(names, values, strict=True)]
    return lets, [Var(value.dtype, name) for name, value in zip(names, values, strict=True)]


def signed_sum(signs: Sequence[int], values: Sequence[_Term]) -> _Term:
    """The sum of the values that have a sign; the first of them that is not negative leads."""
    order = sorted((place for place, sign in enumerate(signs) if sign), key=lambda at: -signs[at])
    total = values[order[0]]
    for place in order[1:]:
        total = total + values[place] if signs[place] > 0 else total - values[place]
    return total


def quarters_of(matrix: Array) -> Array:
    """`(m, n) -> (4, m / 2, n / 2)`, row by row."""
    m, n = matrix.shape
    return matrix.reshape(2, m // 2, 2, n // 2).swapaxes(1, 2).reshape(4, m // 2, n // 2)


strassen_input = constructor(StrassenInput)
strassen_panels = constructor(StrassenPanels)
strassen_matmul = constructor(StrassenMatmul)

OPS: tuple[type[Op], ...] = (StrassenInput, StrassenPanels, StrassenMatmul)
