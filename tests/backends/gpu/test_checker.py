"""Races between threads, conflicts of banks, and how well global memory is read: each access of a
kernel is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlir_lite import Function, f32
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.tile.nodes import Buffer

from .compiled import Compiled, card
from .examples import EXAMPLES, arrays_for
from .schedule.test_memory_bound import TURNED, WIDE
from .schedule.test_memory_bound import arrays_for as normal
from .shim import Counts, ShimDevice, build_checked, needs_shim, unit_text
from .test_shim import softmax

pytestmark = needs_shim


@pytest.mark.parametrize("fn", EXAMPLES, ids=lambda fn: fn.name)
def test_no_threads_race(fn: Function, tmp_path: Path) -> None:
    compiled = Compiled.of(fn, tmp_path, watched=True)
    for order in ("ascending", "shuffled"):
        compiled(*arrays_for(fn), order=order)


def test_a_missing_barrier_is_a_race(tmp_path: Path) -> None:
    compiled = Compiled.of(softmax, tmp_path, watched=True)
    text = unit_text(list(compiled.source.kernels.values())).splitlines()
    barriers = [number for number, line in enumerate(text, start=1) if "__syncthreads" in line]
    for number in barriers:
        with pytest.raises(AssertionError, match=r"a race: threads|which none has written"):
            compiled(*normal(softmax), without=number)


def counted(source: str, shape: int, folder: Path) -> Counts:
    """What one warp's accesses of a kernel on `x` and `y` cost."""
    buffers = (Buffer("x", f32, (shape,)), Buffer("y", f32, (shape,)))
    kernel = CudaKernel("k_kernel", source, (1, 1, 1), (32, 1, 1), buffers)
    device = ShimDevice(build_checked(unit_text([kernel]), folder, "k"), watches=True)
    device.launch(kernel, [device.allocate(4 * shape), device.allocate(4 * shape)])
    return device.counts()


STRIDED = """extern "C" __global__ void k_kernel(const float* x, float* y)
{{
    __shared__ float s[32 * {width}];
    s[threadIdx.x * {width}] = x[threadIdx.x * 8];
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x * {width}];
}}"""


def test_conflicts_and_sectors_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    worst = counted(STRIDED.format(width=32), 256, tmp_path / "a")
    assert (worst.passes, worst.least_passes) == (64, 2)
    assert (worst.sectors, worst.least_sectors) == (32 + 4, 4 + 4)
    assert counted(STRIDED.format(width=33), 256, tmp_path / "b").passes == 2


@pytest.mark.parametrize("fn", TURNED + WIDE, ids=lambda fn: fn.name)
def test_transposes_have_no_conflicts_and_read_whole_sectors(fn: Function, tmp_path: Path) -> None:
    compiled = Compiled.of(fn, tmp_path, target=card(multiprocessors=1), watched=True)
    compiled(*normal(fn))
    counts = compiled.device.counts()
    assert counts.passes == counts.least_passes
    # Rows of odd lengths begin within a sector: one more than the least a request.
    assert counts.sectors <= counts.least_sectors * 1.6
