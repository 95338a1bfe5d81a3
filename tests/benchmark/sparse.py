"""Times products of sparse and dense matrices against SciPy and PyTorch, from the folder `tests`:

  python -m benchmark.sparse --threads 1,2

A grid's Laplacian, a graph whose degrees fall by a power law, and a pruned weight, each by one
vector and by 64 columns. The floor is the time to move all arrays once at 50 GB/s. SciPy has one
thread.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.cli.layout import seconds_text
from mlir_lite.cli.runners import Call
from mlir_lite.ir import results_of
from mlir_lite.text import table
from mlir_lite.types import Array

from .measure import measure_apart
from .options import add_rounds
from .workload import normal

BANDWIDTH = 50e9  # bytes a second
OURS = "mlir-lite"


def laplacian(side: int = 512) -> Any:
    """Poisson's equation on a square grid: five elements in most rows."""
    from scipy import sparse

    line = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    return sparse.kronsum(line, line, "csr")


def graph(nodes: int = 100_000, edges: int = 1_000_000) -> Any:
    """Edges between nodes, of which few are in most."""
    from scipy import sparse

    random = np.random.default_rng(0)
    share = (np.arange(nodes) + 1.0) ** -0.8
    ends = random.choice(nodes, (2, edges), p=share / share.sum())
    return sparse.csr_array((np.ones(edges), (ends[0], ends[1])), (nodes, nodes))


def pruned(size: int = 1024) -> Any:
    """A weight of which the largest tenth is left."""
    from scipy import sparse

    weight = normal(size, size)
    return sparse.csr_array(weight * (np.abs(weight) > np.quantile(np.abs(weight), 0.9)))


MATRICES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {"grid": laplacian, "graph": graph, "pruned": pruned}
)


def matrix(name: str) -> Any:
    """A matrix in f32, its columns in order."""
    found = MATRICES[name]().astype(np.float32)
    found.sort_indices()
    found.indices, found.indptr = (part.astype(np.int32) for part in (found.indices, found.indptr))
    return found


def ours(a: Any, x: Array, threads: int) -> Call:
    """The matrix as a parameter."""
    given = ml.sparse.csr(a)

    @ml.function(ml.sparse.csr_type(f32[a.shape], a.nnz), f32[x.shape])
    def product(a: ml.sparse.Csr, x: Value) -> Value:
        return a @ x

    run = ml.compile(product, threads=threads)
    return lambda: results_of(run(*given, x))


def scipys(a: Any, x: Array, threads: int) -> Call:
    return lambda: [a @ x]


def torchs(a: Any, x: Array, threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    parts = (torch.from_numpy(part) for part in (a.indptr, a.indices, a.data))
    left, right = torch.sparse_csr_tensor(*parts, a.shape), torch.from_numpy(x)
    return lambda: [(left @ right).numpy()]


ENGINES: Mapping[str, Callable[[Any, Array, int], Call]] = MappingProxyType(
    {OURS: ours, "scipy": scipys, "torch": torchs}
)


def dense(a: Any, columns: int) -> Array:
    """What a matrix is multiplied by: a vector, or columns."""
    return normal(a.shape[1]) if columns == 1 else normal(a.shape[1], columns)


def make_call(engine: str, name: str, columns: int, threads: int) -> Call:
    """The call of an engine, for a process that knows names only."""
    a = matrix(name)
    return ENGINES[engine](a, dense(a, columns), threads)


def measured(name: str, columns: int, threads: int, repeat: int) -> dict[str, float]:
    """Seconds of a product by engine, each of which gives what float64 does."""
    a = matrix(name)
    wanted = [a.astype(np.float64) @ dense(a, columns)]
    makes = {engine: partial(make_call, engine, name, columns, threads) for engine in ENGINES}
    timings = measure_apart(makes, wanted, threads, repeat)
    assert all(timing.error < 1e-5 for timing in timings.values()), timings
    return {engine: timing.seconds for engine, timing in timings.items()}


def floor(a: Any, columns: int) -> float:
    """Seconds to move all arrays once."""
    moved = a.nnz * 8 + a.shape[0] * 4 + sum(a.shape) * columns * 4
    return float(moved / BANDWIDTH)


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="benchmark.sparse", description=__doc__)
    add_rounds(parser)
    parser.add_argument("--matrices", default=",".join(MATRICES), help="which of them")
    args = parser.parse_args(argv)
    cells = [["matrix", "stored", "columns", "threads", "floor", *ENGINES, "ratio"]]
    for name in args.matrices.split(","):
        a = matrix(name)
        for columns in (1, 64):
            for threads in args.threads:
                print(f"{name}, {columns}, {threads}t …", file=sys.stderr, flush=True)
                found = measured(name, columns, threads, args.repeat)
                best = min(found[engine] for engine in ENGINES if engine != OURS)
                row = [name, *map(str, (a.nnz, columns, threads))]
                times = (floor(a, columns), *(found[engine] for engine in ENGINES))
                row += map(seconds_text, times)
                cells.append([*row, f"{best / found[OURS]:.2f}"])
    print(table(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
