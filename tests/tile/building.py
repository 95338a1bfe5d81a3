"""Short spellings of Tile IR nodes for the tests of this folder."""

from __future__ import annotations

import numpy as np

from mlir_lite.expr import INDEX, Expr, Load, Var, index
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.machine import Order
from mlir_lite.tile.nodes import Accumulate, Kernel, Kind, Loop, Ref, Stmt, Store
from mlir_lite.types import Array, DType, f32

ORDERS: tuple[Order, ...] = ("ascending", "descending", "shuffled")


def v(name: str) -> Var:
    return Var(INDEX, name)


def at(*indices: Expr | int) -> tuple[Expr, ...]:
    return tuple(index(part) if isinstance(part, int) else part for part in indices)


def ld(buffer: str, *indices: Expr | int, dtype: DType = f32) -> Load:
    return Load(dtype, buffer, at(*indices))


def st(buffer: str, indices: tuple[Expr | int, ...], value: Expr) -> Store:
    return Store(Ref(buffer, at(*indices)), value)


def acc(
    buffer: str, indices: tuple[Expr | int, ...], value: Expr, combiner: str = "sum"
) -> Accumulate:
    return Accumulate(combiner, (Ref(buffer, at(*indices)),), (value,))


def loop(
    axis: str, extent: Expr | int, *body: Stmt, kind: Kind = Kind.SERIAL, start: Expr | int = 0
) -> Loop:
    low, high = at(start, extent)
    return Loop(axis, low, high, body, kind)


def normal(*shape: int) -> Array:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def both(kernel: Kernel, **arrays: Array) -> dict[str, Array]:
    """The outputs, after comparing the modes and the orders bit by bit."""
    before = {name: array.copy() for name, array in arrays.items()}
    fast = run_kernel(kernel, arrays)
    for order in ORDERS:
        for vectorise in (False, True):
            other = run_kernel(kernel, arrays, vectorise=vectorise, order=order)
            for name, array in fast.items():
                np.testing.assert_array_equal(array, other[name])
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])
    return fast
