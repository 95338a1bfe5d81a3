"""The figures of the host, by its processor's name, what it can do and what its system tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlir_lite.backends.llvm.host import FIGURES, cache_sizes, host_figures
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.types import f32

WIDE, NARROW = "+avx512f,+avx512vnni,+avx2,+fma", "-avx512f,+avx2,+fma"


def machine(cpu: str, features: str, triple: str = "x86_64-unknown-linux-gnu") -> Machine:
    return Machine(triple, cpu, features)


def system(folder: Path, caches: list[tuple[str, str, str]]) -> Path:
    """Files as Linux has them: a level, a type and a size for each cache."""
    for number, values in enumerate(caches):
        cache = folder / f"index{number}"
        cache.mkdir(parents=True)
        for name, value in zip(("level", "type", "size"), values, strict=True):
            (cache / name).write_text(value + "\n")
    return folder


def test_sizes_are_those_of_caches_of_data(tmp_path: Path) -> None:
    caches = [
        ("1", "Data", "48K"), ("1", "Instruction", "64K"), ("2", "Unified", "2048K"),
        ("3", "Unified", "16M"), ("4", "Unified", "?"),
    ]  # fmt: skip
    assert cache_sizes(system(tmp_path, caches)) == {1: 48 << 10, 2: 2 << 20, 3: 16 << 20}


def test_a_folder_without_files_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "index0").mkdir()
    assert cache_sizes(tmp_path) == cache_sizes(tmp_path / "none") == {}


def test_the_system_is_believed_but_for_a_last_cache_that_others_share(tmp_path: Path) -> None:
    caches = [("1", "Data", "64K"), ("2", "Unified", "3M"), ("3", "Unified", "300M")]
    known = FIGURES["emeraldrapids"]
    found = host_figures(machine("emeraldrapids", WIDE), system(tmp_path, caches))
    assert (found.l1_bytes, found.l2_bytes, found.l3_bytes) == (64 << 10, 3 << 20, known.l3_bytes)
    small = host_figures(machine("emeraldrapids", WIDE), system(tmp_path / "s", [("3", "U", "8M")]))
    assert small.l3_bytes == 8 << 20


@pytest.mark.parametrize("cpu", FIGURES)
def test_figures_of_a_known_processor_are_its_own(cpu: str, tmp_path: Path) -> None:
    """And in order: each place is slower than the one before it, and larger."""
    known = FIGURES[cpu]
    found = host_figures(machine(cpu, WIDE if known.has_avx512 else NARROW), tmp_path)
    assert (found.cpu, found.peak_flops) == (cpu, known.peak_flops)
    assert found.l2_bandwidth > found.l3_bandwidth > found.memory_bandwidth
    assert found.l1_bytes < found.l2_bytes < found.l3_bytes
    assert ("vpdpbusd" in found.dot_instructions) == known.has_avx512


@pytest.mark.parametrize(("cpu", "uses"), [("emeraldrapids", False), ("znver5", True)])
def test_instructions_slower_than_what_they_stand_for_are_left_out(
    cpu: str, uses: bool, tmp_path: Path
) -> None:
    found = host_figures(machine(cpu, f"{WIDE},+avx512bf16"), tmp_path)
    assert ("vpdpbf16ps" in found.dot_instructions) == uses
    assert "vpdpbusd" in found.dot_instructions and not found.matrix_products


@pytest.mark.parametrize(
    ("cpu", "features", "triple", "lanes"),
    [
        ("znver9", WIDE, "x86_64-unknown-linux-gnu", 16),
        ("znver5", NARROW, "x86_64-unknown-linux-gnu", 8),  # a guest without AVX-512
        ("znver5", "+sse2", "x86_64-unknown-linux-gnu", 4),
        ("apple-m1", "+neon", "arm64-apple-darwin", 4),
    ],
)
def test_others_have_vectors_as_wide_as_they_can(
    cpu: str, features: str, triple: str, lanes: int, tmp_path: Path
) -> None:
    found = host_figures(machine(cpu, features, triple), tmp_path)
    assert found.lanes(f32) == lanes
    assert found.cpu == cpu
