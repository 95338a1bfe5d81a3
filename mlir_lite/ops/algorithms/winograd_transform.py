"""The matrices of Winograd's minimal filtering, derived exactly, and code that multiplies by them.

F(m, r) gives m outputs of a filter of r taps with m + r - 1 multiplications:
`Y = Aᵀ[(G g) ⊙ (Bᵀ d)]` in one dimension, `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A` in two
(Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from math import lcm
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from ...expr import Expr, Var, const
from ...tile.nodes import Let, Stmt
from ...types import Array

Matrix: TypeAlias = tuple[tuple[Fraction, ...], ...]
Bind: TypeAlias = Callable[[Expr], Expr]  # names a value that is used more than once

TAPS = 3

# The finite interpolation points by tile; the last point is infinity. The powers of p and of 1/p
# grow alike only where both are near 1, so the usual 0, ±1, ±2 are no good in f32. Errors of layers
# of 64, 128, 256 and 512 channels, relative to the largest output, in units of 1e-6:
#   tiles of 2:  0, ±1: 0.4 0.5 0.6 0.9
#   tiles of 4:  0, ±3/4, ±4/3: 1.4 2.0 2.3 3.1     0, ±5/8, ±3/2: 1.3 1.9 2.6 3.6
#                0, ±2/3, ±3/2: 1.4 2.5 2.3 4.3     0, ±4/5, ±5/4: 2.0 2.6 3.0 3.9
#                0, ±1/2, ±3/2: 3.0 3.8 4.0 6.0     0, ±1, 1/2, -2: 2.3 2.9 4.4 7.0
#                0, ±1, ±1/2: 5.8 9.8 10.2 11.5     0, ±1, ±2: 7.2 7.1 8.4 20.7
POINTS: Mapping[int, tuple[Fraction, ...]] = MappingProxyType(
    {
        2: (Fraction(0), Fraction(1), Fraction(-1)),
        4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(4, 3), Fraction(-4, 3)),
    }
)

# What a tile leaves out of which fewer outputs are in the image, by their number: it needs only so
# many points more than those as there are more in a whole tile. Infinity, the last point, adds to
# the last output alone. Errors in the same units, of layers of 64 and of 256 channels:
#   1 output of 2, without infinity: 0.3 0.6
#   3 outputs of 4, without infinity: 1.3 2.6
#   2 outputs of 4, without infinity and 0: 0.7 1.4   3/4 or -3/4: 1.3 2.6   4/3 or -4/3: 1.7 3.0
#   1 output of 4, without infinity and ±3/4: 0.3 0.5   ±4/3: 0.6 1.1   0 and another: 0.9 2.3
#                                                       one of each pair: 0.4 to 9.4
LEFT_OUT: Mapping[int, Mapping[int, tuple[int, ...]]] = MappingProxyType(
    {2: {1: (3,)}, 4: {3: (5,), 2: (0, 5), 1: (1, 2, 5)}}
)


@dataclass(frozen=True)
class Transform:
    """The three matrices of F(tile, taps): `output` is Aᵀ, `filter` G, `input` Bᵀ."""

    output: Matrix
    filter: Matrix
    input: Matrix


@cache
def transform_of(tile: int) -> Transform:
    """The matrices for tiles of 2 or 4 outputs and three taps."""
    return derive(POINTS[tile], tile, TAPS)


def derive(points: Sequence[Fraction], tile: int, taps: int) -> Transform:
    """The matrices of F(tile, taps) by interpolation at `points` and at infinity.

    Multiplying polynomials of `tile` and `taps` coefficients by their values at the points
    (Toom and Cook), transposed: Bᵀ is the interpolation, A and G are the evaluations.

    A column of Aᵀ may be scaled if the row of G is scaled back. It is made of integers, which
    f32 holds exactly; Bᵀ keeps rows that lead with 1, which saves a multiplication and with it a
    rounding. G is applied in f64. In f32 this ordering had the least error of those tried.
    """
    output = [[point**power for point in points] for power in range(tile)]
    filter_ = [
        [point**power / _product(point - other for other in points if other != point)
         for power in range(taps)]
        for point in points
    ]
    input_ = [[*_monic([other for other in points if other != point]), Fraction(0)]
              for point in points]
    for power, row in enumerate(output):
        row.append(Fraction(int(power == tile - 1)))
    filter_.append([Fraction(int(power == taps - 1)) for power in range(taps)])
    input_.append(_monic(points))
    for place in range(len(filter_)):
        scale = lcm(*(row[place].denominator for row in output))
        for row in output:
            row[place] *= scale
        filter_[place] = [entry / scale for entry in filter_[place]]
    return Transform(_matrix(output), _matrix(filter_), _matrix(input_))


def left_out(tile: int, outputs: int) -> tuple[int, ...]:
    """The places of the points that a tile leaves out if only so many outputs are wanted."""
    return LEFT_OUT[tile].get(outputs, ())


def continuation(tile: int, outputs: int) -> tuple[Fraction, ...]:
    """By what factors the last `outputs + 2` pixels give the next one, beyond what that many
    outputs need, so that all points of a tile are 0 that it leaves out.

    What is beyond is of no consequence for these outputs, so it may be anything. Bᵀ gives, for a
    finite point, the coefficients of the product of (x - other) over all others. Those of points
    left out are multiples of q(x), the product over the points kept: they are 0 if the pixels are a
    sequence of which q is the characteristic polynomial, and what then is left of the sum over
    points is F(outputs, 3) by the points kept, with the same filters.
    """
    kept = [p for place, p in enumerate(POINTS[tile]) if place not in left_out(tile, outputs)]
    return tuple(-factor for factor in _monic(kept)[:-1])


def _product(factors: Iterator[Fraction]) -> Fraction:
    total = Fraction(1)
    for factor in factors:
        total *= factor
    return total


def _monic(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of all (x - root), that of x**0 first."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*found, Fraction(0)]
        found = [high - root * low for high, low in zip(shifted, scaled, strict=True)]
    return found


def _matrix(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(row) for row in rows)


def as_array(matrix: Matrix) -> Array:
    """The matrix in f64."""
    return np.array([[float(entry) for entry in row] for row in matrix])


# Straight-line code


@dataclass
class StraightLine:
    """Straight-line code under construction; values are named t0, t1, … by line."""

    prefix: str = "t"
    lines: list[Stmt] = field(default_factory=list)

    def bind(self, value: Expr) -> Expr:
        """A name for a value; a name is given none."""
        if isinstance(value, Var):
            return value
        name = f"{self.prefix}{len(self.lines)}"
        self.lines.append(Let(name, value))
        return Var(value.dtype, name)


def transformed(
    matrix: Matrix, read: Callable[[int, int], Expr], bind: Bind
) -> Iterator[Sequence[Expr]]:
    """The rows of `matrix · X · matrixᵀ`, where `read(i, j)` is an element of X."""
    extent = range(len(matrix[0]))
    columns = [multiply(matrix, [bind(read(i, j)) for i in extent], bind) for j in extent]
    for row in zip(*columns, strict=True):
        yield multiply(matrix, row, bind)


def multiply(matrix: Matrix, xs: Sequence[Expr], bind: Bind) -> list[Expr]:
    """`matrix · xs`, with the terms that are not zero only.

    As points come in pairs ±p, columns of A and rows of Bᵀ come in pairs that differ in signs:
    such columns are needed only times the sum and the difference of their elements, and such rows
    are the sum and the difference of the terms they share and of those they do not.
    """
    matrix, xs = _paired_columns(matrix, xs, bind)
    results: dict[int, Expr] = {}
    for first, second in _pairs(matrix).items():
        a, b = matrix[first], matrix[second]
        same = tuple(x if x == y else Fraction(0) for x, y in zip(a, b, strict=True))
        unlike = tuple(x if x != y else Fraction(0) for x, y in zip(a, b, strict=True))
        even, odd = bind(sum_of(same, xs)), bind(sum_of(unlike, xs))
        results[first], results[second] = bind(even + odd), bind(even - odd)
    for place, row in enumerate(matrix):
        if place not in results:
            results[place] = bind(sum_of(row, xs))
    return [results[place] for place in range(len(matrix))]


def _paired_columns(
    matrix: Matrix, xs: Sequence[Expr], bind: Bind
) -> tuple[Matrix, Sequence[Expr]]:
    """The same product with each pair of columns replaced by a sum and a difference."""
    columns, elements = list(zip(*matrix, strict=True)), list(xs)
    for first, second in _pairs(tuple(columns)).items():
        a, b = columns[first], columns[second]
        columns[first] = tuple(x if x == y else Fraction(0) for x, y in zip(a, b, strict=True))
        columns[second] = tuple(x if x != y else Fraction(0) for x, y in zip(a, b, strict=True))
        elements[first], elements[second] = bind(xs[first] + xs[second]), bind(
            xs[first] - xs[second]
        )
    return tuple(zip(*columns, strict=True)), elements


def _pairs(vectors: Matrix) -> dict[int, int]:
    """Pairs of vectors that differ in the signs of some of their elements, not of all."""
    found: dict[int, int] = {}
    for first, a in enumerate(vectors):
        for second in range(first + 1, len(vectors)):
            b = vectors[second]
            alike = all(abs(x) == abs(y) for x, y in zip(a, b, strict=True))
            opposite = all(x == -y for x, y in zip(a, b, strict=True))
            taken = {first, second} & {*found, *found.values()}
            if alike and a != b and not opposite and not taken:
                found[first] = second
    return found


def sum_of(row: Sequence[Fraction], xs: Sequence[Expr]) -> Expr:
    """The sum of products, not all by 0; what needs no factor comes first, the others are fused
    additions."""
    terms = [(factor, x) for factor, x in zip(row, xs, strict=True) if factor]
    terms.sort(key=lambda term: (term[0] != 1, term[0] != -1))
    (factor, x), *rest = terms
    total = x if factor == 1 else x * const(float(factor), x.dtype)
    for factor, x in rest:
        match factor:
            case 1:
                total = total + x
            case -1:
                total = total - x
            case _:
                total = total + x * const(float(factor), x.dtype)
    return total
