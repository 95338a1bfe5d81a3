"""Parallel loops dealt out an index at a time, in an order that threads could come to: the results
are the same bits as in one piece, or iterations meet each other's data."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from unittest import mock

from mlir_lite.backends.llvm import backend as cpu
from mlir_lite.ir import ConstantData
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

_TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_PARALLEL = ctypes.CFUNCTYPE(
    ctypes.c_int64,
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_bool),
    *(ctypes.c_void_p, ctypes.c_void_p),
)
_MOST = 500  # pieces of a loop


class Dealer:
    """Stands where the thread pool's code does, and runs all by itself."""

    def __init__(self) -> None:
        self.random: Random | None = None  # None: every loop in one piece
        self._parallel = _PARALLEL(self._deal)
        address = ctypes.cast(self._parallel, ctypes.c_void_p).value or 0
        self.symbols: Mapping[str, int] = MappingProxyType({"ml_parallel_toward": address})

    def _deal(self, _: int, task: int, context: int, extent: int, *_way: object) -> int:
        run = _TASK(task)
        if self.random is None:
            run(context, 0, extent)
            return 0
        pieces = min(extent, _MOST)
        order = list(range(pieces))
        self.random.shuffle(order)
        for piece in order:
            run(context, piece * extent // pieces, (piece + 1) * extent // pieces)
        return 0


def depends_on_order(
    program: Program, constants: Mapping[str, ConstantData], arrays: Sequence[Array]
) -> bool:
    """Whether any of three orders gives other bits."""
    dealer = Dealer()
    with mock.patch.object(cpu, "pool_code", lambda: dealer):
        run = cpu.CpuBackend(*cpu.cpu_target("cpu")).compile(program, constants, threads=1)

    def bits() -> list[bytes]:
        found = run(*[array.copy() for array in arrays])
        return [array.tobytes() for array in (found if isinstance(found, tuple) else (found,))]

    whole = bits()
    for seed in range(3):
        dealer.random = Random(seed)
        if bits() != whole:
            return True
    return False
