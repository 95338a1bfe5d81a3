"""What is around products by warpgroups: the host part that makes tensor maps, and machine code."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, bf16
from mlir_lite.backends.cuda.code.nvrtc import compile_source
from mlir_lite.backends.cuda.code.sass import counts, listings, sass_text
from mlir_lite.backends.cuda.source.host import host_source
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.types import Array

from ..compiled import card, planned
from ..shim import build, needs_shim, registrations
from .test_warpgroups import arrays_for, check, linear, one

RUNTIME = Path(__file__).parents[1] / "runtime"


@needs_shim
def test_the_host_part_makes_tensor_maps_and_asks_for_memory(tmp_path: Path) -> None:
    source = CudaSource.of(planned(linear, one())[0], one())
    (kernel,) = source.kernels.values()
    assert kernel.shared_bytes > 48 << 10
    text = host_source(source).replace(source.wrappers, "")
    built = f"{text}\n{registrations([kernel])}"
    library = build(built, tmp_path, "linear", f"-I{RUNTIME}")
    arrays = arrays_for(linear)
    result = np.empty((70, 72), np.float32)
    given = [*_aligned(arrays), result]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in given]
    assert library.linear_load(None) == 0
    assert library.linear_run(*pointers, None) == 0
    library.linear_unload()
    check((result,), linear, arrays)


def _aligned(arrays: list[Array]) -> Iterator[Array]:
    """The arrays where the copy engine can find them."""
    for array in arrays:
        room = np.empty(array.nbytes + 64, np.uint8)
        placed = room[-room.ctypes.data % 64 :][: array.nbytes]
        placed[:] = array.reshape(-1).view(np.uint8)
        yield placed


@ml.function(bf16[3000, 4096], bf16[4096, 4096], bf16[4096], bf16[3000, 4096])
def large(x: Value, w: Value, b: Value, more: Value) -> Value:
    return ml.gelu(x @ w + b) + more


@pytest.mark.usefixtures("disassembler")
def test_machine_code_has_the_instructions_and_spills_nothing() -> None:
    source = CudaSource.of(planned(large, card())[0], card())
    assert source.architecture == "sm_90a"
    made = compile_source(str(source), source.architecture, strict=True)
    (listing,) = listings(sass_text(made)).values()
    (usage,) = made.usage.values()
    assert (usage.spilled_bytes, usage.registers) == (0, 168)  # of 384 threads, all there are
    loop, every = counts(listing.main_loop()), counts(listing.code)
    assert loop["HGMMA"] == every["HGMMA"] == 4  # of sixteen terms: a tile in shared memory
    # Boxes, one of the left operand and four of the right, in a loop that may be written out.
    assert every["UTMALDG"] and every["UTMALDG"] % 5 == 0
    assert not loop["LDS"] + loop["LDG"] + loop["LDL"]
    # What is done with the sums comes after the wait for the last products.
    names = [instruction.opcode for instruction in listing.code]
    waits = [place for place, name in enumerate(names) if name.startswith("WARPGROUP.DEPBAR")]
    stores = [place for place, name in enumerate(names) if name.startswith(("STG", "F2FP"))]
    assert len(waits) == 2 and waits[-1] < stores[0]
