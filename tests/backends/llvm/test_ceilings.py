"""The machine's ceilings are of the right order, and each is above the next."""

from __future__ import annotations

import pytest

from mlir_lite.backends.llvm import ceilings
from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.backends.llvm.ceilings import Ceilings, measure_ceilings

MADE_UP = Ceilings(
    threads=2, flops=500e9, l2_read=500e9, l3_read=200e9, memory_read=40e9, memory_copy=50e9,
    l2_bytes=2 << 20, l3_bytes=32 << 20,
)  # fmt: skip


@pytest.mark.parametrize(
    ("size", "place", "rate"),
    [(2 << 20, "L2", 500e9), ((2 << 20) + 1, "L3", 200e9), (33 << 20, "memory", 50e9)],
)
def test_data_come_from_the_nearest_place_that_holds_them(
    size: int, place: str, rate: float
) -> None:
    assert MADE_UP.bandwidth(size) == (place, rate)


def test_figures_are_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_REPEATS", 2)
    monkeypatch.setattr(ceilings, "_STEPS", 20_000)
    monkeypatch.setattr(ceilings, "_READ_BYTES", 1 << 20)
    found = measure_ceilings(CpuBackend(*cpu_target("cpu")), 2)
    assert found.threads == 2
    # From the slowest machine one would use to more than any has: units gone wrong show.
    assert 1e8 < found.flops < 1e14
    for rate in (found.l2_read, found.l3_read, found.memory_read, found.memory_copy):
        assert 1e7 < rate < 1e13
