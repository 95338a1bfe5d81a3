"""The table of combiners: what a reduction keeps of the elements seen, its states, and how those of
two parts join, as NumPy code. Backends join by name; their tests compare with these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..types import Array, DType
from .functions import FUNCTIONS

Identity = Callable[[DType], int | float | bool]
States = Sequence[Array]


@dataclass(frozen=True)
class Combiner:
    """A reduction: per state its identity, and how the states of two parts join.

    `function` is set where one scalar function joins single states, else `tuples` joins several.
    `identity` takes the element type of a state.
    """

    name: str
    identity: tuple[Identity, ...]
    function: str = ""
    tuples: Callable[[States, States], list[Array]] | None = None

    def join(self, left: States, right: States) -> list[Array]:
        """The states of two parts as those of both."""
        if self.tuples is not None:
            return self.tuples(left, right)
        (one,), (other,) = left, right
        return [FUNCTIONS[self.function].evaluate(one, other)]


def _lowest(dtype: DType) -> float | int | bool:
    if dtype.is_float:
        return -np.inf
    return False if dtype.kind == "b" else int(np.iinfo(dtype.numpy).min)


def _highest(dtype: DType) -> float | int | bool:
    if dtype.is_float:
        return np.inf
    return True if dtype.kind == "b" else int(np.iinfo(dtype.numpy).max)


def _zero(dtype: DType) -> float | int | bool:
    return 0


def _one(dtype: DType) -> float | int | bool:
    return 1


def _most_index(dtype: DType) -> float | int | bool:
    return int(np.iinfo(dtype.numpy).max)


def _best(is_better: np.ufunc) -> Callable[[States, States], list[Array]]:
    """Of pairs (value, index): a NaN wins, then the better value, then the smaller index."""

    def join(left: States, right: States) -> list[Array]:
        (a, at_a), (b, at_b) = left, right
        a_nan, b_nan = a != a, b != b
        even = (a == b) | (a_nan & b_nan)
        wins = np.where(even, at_b < at_a, is_better(b, a))
        right_wins = np.where(a_nan != b_nan, b_nan, wins)
        return [np.where(right_wins, b, a), np.where(right_wins, at_b, at_a)]

    return join


def _softmax(left: States, right: States) -> list[Array]:
    """The maximum, and the sum of exp(x - maximum): Milakov and Gimelshein, 2018. Where both have
    the same maximum, infinite ones too, their sums are added as they are."""
    (a, of_a), (b, of_b) = left, right
    shrinks = np.where(a == b, np.ones_like(a), np.exp(-abs(a - b)))
    first = of_a + of_b * shrinks
    total = np.where(a >= b, first, of_a * shrinks + of_b)
    return [np.maximum(a, b), total.astype(of_a.dtype)]


def _moments(left: States, right: States) -> list[Array]:
    """The mean, the sum of squared distances from it, and how many elements there are: Chan, Golub
    and LeVeque, 1979."""
    (a, of_a, many_a), (b, of_b, many_b) = left, right
    many = many_a + many_b
    share = many_b / np.where(many == 0, np.ones_like(many), many)
    gap = b - a
    squares = of_a + of_b + gap * gap * many_a * share
    return [(a + gap * share).astype(a.dtype), squares.astype(of_a.dtype), many]


COMBINERS: Mapping[str, Combiner] = {
    "sum": Combiner("sum", (_zero,), "add"),
    "prod": Combiner("prod", (_one,), "mul"),
    "max": Combiner("max", (_lowest,), "max"),
    "min": Combiner("min", (_highest,), "min"),
    "any": Combiner("any", (_zero,), "or"),
    "all": Combiner("all", (_one,), "and"),
    "argmax": Combiner("argmax", (_lowest, _most_index), tuples=_best(np.greater)),
    "argmin": Combiner("argmin", (_highest, _most_index), tuples=_best(np.less)),
    "softmax": Combiner("softmax", (_lowest, _zero), tuples=_softmax),
    "moments": Combiner("moments", (_zero, _zero, _zero), tuples=_moments),
}
