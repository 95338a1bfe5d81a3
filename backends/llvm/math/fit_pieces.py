"""Fit the polynomials in pieces of the vector mathematics and print `pieces.py`.

Run as `python -m mlir_lite.backends.llvm.math.fit_pieces > pieces.py`. Needs mpmath, which the
package itself does not; a test repeats every fit and compares it with the table.

The numbers above 0 are cut at 1/16, 3/32, 1/8, 3/16 .. 8: twice in each power of two, so that the
bits of an f32 from the highest of its mantissa on are the number of its piece, and the last four of
these bits tell all pieces apart. The piece from 0 on has the number of what lies below 1/16.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import mpmath
import numpy

from .constants import TANH_IS_ONE
from .fit_polynomials import Function, Interval, Real, points_of, rounded

COUNT = 16  # as many as one vector has entries
LOWEST_PIECE = 3 / 64  # has the number of the first piece
COEFFICIENTS = 7
NEIGHBOURS = 2000  # of a piece's middle, on each side, that are tried


@dataclass(frozen=True)
class Piece:
    """f(middle + d) = c[0] + c[1]*d + c[2]*d*d + ... near the middle."""

    number: int
    middle: float
    coefficients: tuple[float, ...]


def fit_first(function: Function, high: float) -> list[float]:
    """Of an odd function with f'(0) = 1, near 0: 0 and 1 stay exact for the smallest arguments."""
    powers = range(2, COEFFICIENTS)
    points = points_of(Interval(0.0, high, COEFFICIENTS), 4 * COEFFICIENTS)
    rows = [[v**i / function(v) for i in powers] for v in points]
    values = [1 - v / function(v) for v in points]
    found = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(values))
    return [0.0, 1.0, *rounded(list(found), "f32")]


def fit_piece(function: Function, low: float, high: float) -> tuple[float, list[float]]:
    """A middle and the coefficients, for the least relative error."""
    middle, value = exact_middle(function, low, high)
    powers = range(1, COEFFICIENTS)
    points = points_of(Interval(low, high, COEFFICIENTS), 4 * COEFFICIENTS)
    rows = [[(v - middle) ** i / function(v) for i in powers] for v in points]
    values = [1 - value / function(v) for v in points]
    found = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(values))
    return middle, [value, *rounded(list(found), "f32")]


def exact_middle(function: Function, low: float, high: float) -> tuple[float, float]:
    """A number of f32 near the middle, and the function's value there: that of its neighbours whose
    value rounds to f32 with the least error (Gal and Bachelis, 1991)."""
    start = int(numpy.float32((low + high) / 2).view(numpy.int32))
    bits = numpy.arange(start - NEIGHBOURS, start + NEIGHBOURS, dtype=numpy.int32)
    best: tuple[Real, float, float] | None = None
    for candidate in bits.view(numpy.float32):
        value = function(mpmath.mpf(float(candidate)))
        (near,) = rounded([value], "f32")
        found = abs(value - near), float(candidate), near
        best = min(best, found) if best else found
    assert best is not None
    return best[1], best[2]


def number_of(value: float) -> int:
    """The number of the piece that a value is in."""
    return int(numpy.float32(value).view(numpy.int32)) >> 22


def pieces_of(function: Function, highest: float) -> Iterator[Piece]:
    """All pieces of an odd function, which is read up to `highest`."""
    edges = [2.0**power * part for power in range(-4, 4) for part in (1.0, 1.5)]
    yield Piece(number_of(LOWEST_PIECE), 0.0, tuple(fit_first(function, edges[0])))
    for low, high in pairwise(edges):
        middle, coefficients = fit_piece(function, low, min(high, highest))
        yield Piece(number_of(low), middle, tuple(coefficients))


def tables_of(function: Function, highest: float) -> list[list[float]]:
    """The middles, and each of the coefficients, of all pieces by number."""
    with mpmath.workdps(40):
        pieces = sorted(pieces_of(function, highest), key=lambda piece: piece.number % COUNT)
    rows = [(piece.middle, *piece.coefficients) for piece in pieces]
    return [list(row) for row in zip(*rows, strict=True)]


HEADER = f'''"""Polynomials in pieces: for each function the middles of 16 pieces, by the last four
bits of their numbers, then the constant coefficients, those of the first power, and so on.

Written by `fit_pieces.py`, which also says what the pieces are and how each was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping

LOWEST_PIECE = {LOWEST_PIECE}  # what is smaller is in the piece of this
PIECES: Mapping[str, tuple[tuple[float, ...], ...]] = {{'''
FITS = {"tanh": (mpmath.tanh, TANH_IS_ONE["f32"])}


def table_text() -> str:
    """The text of `pieces.py`."""
    lines = [HEADER]
    for name, (function, highest) in FITS.items():
        lines.append(f'    "{name}": (')
        for table in tables_of(function, highest):
            lines += ["        (", *(f"            {entry!r}," for entry in table), "        ),"]
        lines.append("    ),")
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    sys.stdout.write(table_text())
