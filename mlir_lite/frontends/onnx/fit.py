"""Sizes that only fit one way: what named sizes must be for a node's operands to go together.

A network that halves a size five times and adds the result to what it had before works only for
multiples of 32, which no ONNX file says. It is found here from the two sizes that must be equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from ...errors import UnsupportedError
from ...sizes import Dim, Quotient, Shape, Size

Equation: TypeAlias = tuple[Size, Size]

# A size that must be a larger multiple than this is not meant as one.
_MOST_MULTIPLE = 1024


class SizesDiffer(UnsupportedError):
    """Sizes that must be equal are not; `substitution` may mend it (empty: nothing does)."""

    def __init__(self, message: str, equations: Sequence[Equation]) -> None:
        super().__init__(message)
        self.equations = equations

    @property
    def substitution(self) -> Mapping[str, Size]:
        solutions = (solve(a, b) for a, b in self.equations)
        return next((solution for solution in solutions if solution), {})


def aligned(shapes: Sequence[Shape]) -> list[Equation]:
    """The sizes that must be equal for shapes to broadcast."""
    return [
        (a, b)
        for left, right in combinations(shapes, 2)
        for a, b in zip(reversed(left), reversed(right), strict=False)
        if a != b and 1 not in (a, b)
    ]


def beside(shapes: Sequence[Shape], axis: int) -> list[Equation]:
    """The sizes that must be equal for tensors to be joined along an axis."""
    return [
        (a, b)
        for left, right in combinations(shapes, 2)
        for place, (a, b) in enumerate(zip(left, right, strict=False))
        if a != b and place != axis % len(left)
    ]


def solve(a: Size, b: Size) -> Mapping[str, Size]:
    """What named sizes must be so that `a == b`: a multiple, a number, or another name.

    `(n+31)//32` and `m` give {n: 32*n}; `n` and 1 give {n: 1}; empty where nothing simple does.
    """
    multiples: dict[str, int] = {}
    for size in (a, b):
        for name, factor in _divisors(size):
            multiples[name] = math.lcm(multiples.get(name, 1), factor)
    if multiples:
        fits = all(factor <= _MOST_MULTIPLE for factor in multiples.values())
        return {name: factor * Dim.named(name) for name, factor in multiples.items() if fits}
    difference = _without_common_factor(a - b)
    if not isinstance(difference, Dim):
        return {}
    linear = {atoms[0]: factor for atoms, factor in difference.terms if len(atoms) == 1}
    rest = dict(difference.terms).get((), 0)
    if len(linear) + (rest != 0) != len(difference.terms):
        return {}
    match list(linear.items()):
        case [(str(name), factor)] if rest and rest % factor == 0 and -rest // factor > 0:
            return {name: -rest // factor}
        case [(str(name), factor), (str(other), opposite)] if factor == -opposite and not rest:
            return {other: Dim.named(name)}
    return {}


def _divisors(size: Size) -> Iterator[tuple[str, int]]:
    """The names below a quotient, and by what they are divided."""
    if not isinstance(size, Dim):
        return
    for atoms, _ in size.terms:
        for atom in atoms:
            if isinstance(atom, Quotient) and isinstance(atom.denominator, int):
                yield from _divisors(atom.numerator)
                if isinstance(atom.numerator, Dim):
                    yield from ((name, atom.denominator) for name in sorted(atom.numerator.names))


def _without_common_factor(size: Size) -> Size:
    """The size divided by the atoms that all its products share; they are not zero."""
    if not isinstance(size, Dim):
        return size
    common = Counter(size.terms[0][0])
    for atoms, _ in size.terms[1:]:
        common &= Counter(atoms)
    shared = Dim(((tuple(common.elements()), 1),)) if common else 1
    return size // shared
