"""What a card can do at best, measured: bytes that it copies, and products of large matrices.

A product is ours, or that of cuBLAS where there is a torch that knows the card: whichever is
faster. Its factors are f64, f32, or what tensor cores multiply: tf32, bf16 and f16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends.cuda.asynchronous import PRODUCT
from ..backends.cuda.executable import CudaExecutable
from ..backends.cuda.timing import Runs
from ..compilation import Options, compile_static
from ..dsl.function import function
from ..ops.matmul import matmul
from ..tile.nodes import Call, Kernel, walk
from ..tile.warps import MULTIPLIED, factor_name, mma_name
from ..types import DTYPES, Array, f32, f64
from .torch_card import Sampled, TorchRuns, has_card_torch

_SIZES = {"f64": 4096, "f32": 4096}  # rows and columns, with milliseconds of work
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


def measure_peaks(
    factors: Iterable[str], target: str, options: Options, cache: int, repeat: int
) -> Mapping[str, ProductPeak]:
    """The peak of each kind of factors, in products compiled with these options."""
    return {kind: _peak(kind, target, options, cache, repeat) for kind in sorted(set(factors))}


def _peak(kind: str, target: str, options: Options, cache: int, repeat: int) -> ProductPeak:
    dtype = DTYPES.get(kind, f32)  # tf32 is no type of elements
    precision = kind if kind == "tf32" else "f32"
    size = _SIZES.get(kind, _SIZE)
    product = function(dtype[size, size], dtype[size, size])(lambda x, y: matmul(x, y))
    executable = compile_static(product, target, None, replace(options, precision=precision))
    assert isinstance(executable, CudaExecutable)
    arrays = [_factor(size, dtype.numpy, seed) for seed in range(2)]
    taken = {"mlir-lite": _fastest(Runs(executable.loaded(), arrays, cache), repeat)}
    if has_card_torch():
        taken["torch"] = _fastest(TorchRuns("torch", product, arrays, precision, cache), repeat)
    by = min(taken, key=taken.__getitem__)
    return ProductPeak(kind, size, 2 * size**3 / taken[by], by)


def _fastest(runs: Sampled, repeat: int) -> float:
    return min(runs.sample() for _ in range(repeat))


def _factor(size: int, dtype: np.dtype[Any], seed: int) -> Array:
    """A matrix of numbers that repeat: zeros would cost the card less power, and so run faster."""
    numbers = np.random.default_rng(seed).standard_normal((size, min(size, 64)))
    return np.tile(numbers.astype(dtype), (1, -(-size // 64)))[:, :size]
