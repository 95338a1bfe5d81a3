"""The machine's ceilings are of the right order, and each is above the next."""

from __future__ import annotations

from dataclasses import replace

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


def test_narrow_products_take_what_their_instruction_takes() -> None:
    """Operations of 2 s in f32, half of them by an instruction that does four at a time; those of
    one that was not measured count as f32's."""
    with_dots = replace(MADE_UP, dots={"vpdpbusd": 2000e9})
    assert with_dots.seconds(10**12, {}) == 2.0
    assert with_dots.seconds(10**12, {"vpdpbusd": 5 * 10**11}) == 1.25
    assert with_dots.seconds(10**12, {"tdpbusd": 5 * 10**11}) == 2.0


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
    # Instructions that do several products a lane; few repeats are easily disturbed.
    assert all(found.flops / 4 < rate < 64 * found.flops for rate in found.dots.values())
