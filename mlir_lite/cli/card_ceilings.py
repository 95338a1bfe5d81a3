"""What a card can do at best, measured: bytes that it copies, and products of large matrices.

A product is ours, or that of cuBLAS where there is a torch that knows the card: whichever is
faster. Its factors are f64, f32, or what tensor cores multiply: tf32, bf16 and f16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..backends.cuda.card.runner import Loaded
from ..backends.cuda.card.timing import Runs
from ..backends.cuda.source.asynchronous import PRODUCT
from ..dsl.function import function
from ..ir import Function
from ..ops.products.matmul import matmul
from ..tile.instructions.warps import MULTIPLIED, factor_name, mma_name
from ..tile.nodes import Call, Kernel
from ..tile.traverse import walk
from ..types import DTYPES, Array, f32, f64
from .runners import OURS
from .torch_card import Sampled, TorchRuns, has_card_torch

# Brings a function with this precision to the card.
Load: TypeAlias = Callable[[Function, str], Loaded]

_SIZES = {"f64": 4096, "f32": 4096}  # rows and columns
_SIZE = 8192  # on tensor cores
_ON_TENSOR_CORES = frozenset(map(factor_name, MULTIPLIED))
_PRODUCTS = (*map(mma_name, MULTIPLIED), PRODUCT)


@dataclass(frozen=True)
class ProductPeak:
    """The fastest product of square matrices."""

    factors: str
    size: int
    flops: float
    by: str  # whose it is


def factors_of(kernel: Kernel) -> str:
    """What a kernel multiplies: what its tensor cores take, else the widest floats that it has."""
    for body in (kernel.body, *(proc.body for proc in kernel.procs)):
        for stmt in walk(body):
            if isinstance(stmt, Call) and stmt.callee.startswith(_PRODUCTS):
                return next(part for part in stmt.callee.split("_") if part in _ON_TENSOR_CORES)
    wide = any(buffer.dtype == f64 for buffer in (*kernel.params, *kernel.locals))
    return "f64" if wide else "f32"


def measure_peak(
    factors: str, load: Load, cache: int, repeat: int, size: int | None = None
) -> ProductPeak:
    """The peak of one kind of factors, in products of `size`, by default one with milliseconds of
    work."""
    dtype = DTYPES.get(factors, f32)  # tf32 is no type of elements
    precision = factors if factors == "tf32" else "f32"
    extent = size or _SIZES.get(factors, _SIZE)
    product = function(dtype[extent, extent], dtype[extent, extent])(lambda x, y: matmul(x, y))
    arrays = [_factor(extent, dtype.numpy, seed) for seed in range(2)]
    taken = {OURS: _fastest(Runs(load(product, precision), arrays, cache), repeat)}
    if has_card_torch():
        taken["torch"] = _fastest(TorchRuns("torch", product, arrays, precision, cache), repeat)
    by = min(taken, key=taken.__getitem__)
    return ProductPeak(factors, extent, 2 * extent**3 / taken[by], by)


def _fastest(runs: Sampled, repeat: int) -> float:
    return min(runs.sample() for _ in range(repeat))


def _factor(size: int, dtype: np.dtype[Any], seed: int) -> Array:
    """A matrix of numbers that repeat: zeros would cost the card less power, and so run faster."""
    numbers = np.random.default_rng(seed).standard_normal((size, min(size, 64)))
    return np.tile(numbers.astype(dtype), (1, -(-size // 64)))[:, :size]
