"""The host part in C++: with the runtime's calls on the CPU it computes what Python's does."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, f32, nn
from mlir_lite.backends.cuda.source.host import host_source, weights_file
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.ir import run_reference
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cuda_pipeline
from mlir_lite.types import Array

from ..compiled import card
from ..examples import BY_NAME, arrays_for
from ..shim import build, needs_shim, registrations

RUNTIME = Path(__file__).parents[1] / "runtime"


def host_part(fn: Function) -> tuple[CudaSource, str, bytes]:
    target = card()
    lowered = lower(run_passes(fn, cuda_pipeline(target)), target)
    source = CudaSource.of(plan_memory(lowered), target)
    return source, host_source(source), weights_file(source, lowered.constants)


def run_host(
    fn: Function, arrays: list[Array], folder: Path, *, offset: int = 0
) -> tuple[int, list[Array]]:
    """What the host part returns, and the results; `offset` moves the arrays that are given."""
    source, text, weights = host_part(fn)
    plain = text.replace(source.wrappers, "") if source.wrappers else text
    built = f"{plain}\n{registrations(list(source.kernels.values()))}"
    library = build(built, folder, fn.name, f"-I{RUNTIME}")
    file = folder / "weights.bin"
    file.write_bytes(weights)
    for _ in range(2):  # what is loaded again lets go of what it had
        assert library[f"{fn.name}_load"](str(file).encode()) == 0
    types = [result.type for result in fn.results]
    results = [np.empty(type_.static_shape, type_.dtype.numpy) for type_ in types]
    arrays = [moved(array, offset) for array in arrays]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*arrays, *results)]
    code = library[f"{fn.name}_run"](*pointers, None)
    for _ in range(2):
        library[f"{fn.name}_unload"]()
    assert ctypes.c_int.in_dll(library, "shim_allocated").value == 0
    return code, results


def moved(array: Array, offset: int) -> Array:
    """A copy that lies so many bytes after a multiple of 64."""
    whole = np.empty(array.nbytes + 128, np.uint8)
    start = -whole.ctypes.data % 64 + offset
    copy = whole[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@needs_shim
@pytest.mark.parametrize("name", ["softmax", "recurrent", "halved", "picked"])
def test_host_part_computes_what_the_function_says(name: str, tmp_path: Path) -> None:
    fn = BY_NAME[name]
    arrays = arrays_for(fn)
    code, results = run_host(fn, arrays, tmp_path)
    assert code == 0
    for result, expected in zip(results, run_reference(fn, arrays), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@needs_shim
def test_weights_come_from_the_file(tmp_path: Path) -> None:
    fn = BY_NAME["linear"]
    x, w, b = arrays_for(fn)
    code, (result,) = run_host(fn.bind({"w": w, "b": b}), [x], tmp_path)
    assert code == 0
    np.testing.assert_allclose(result, np.maximum(x @ w + b, 0), rtol=1e-5, atol=1e-5)


@needs_shim
def test_weights_are_called_what_cpp_takes(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))
    weights = net.init(seed=0)
    assert "0.weight" in weights and "2.bias" in weights
    fn = ml.function(net, f32[5, 20]).bind(weights)
    (x,) = arrays_for(fn)
    code, (result,) = run_host(fn, [x], tmp_path)
    assert code == 0
    np.testing.assert_allclose(result, run_reference(fn, [x])[0], rtol=1e-5, atol=1e-6)


@needs_shim
def test_arrays_must_lie_at_multiples_of_what_is_read_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fn = BY_NAME["linear"]
    code, _ = run_host(fn, arrays_for(fn), tmp_path, offset=4)
    assert code == 716  # cudaErrorMisalignedAddress
    assert capfd.readouterr().err == "linear_run: w lies at no multiple of 16 bytes\n"


@needs_shim
def test_a_fault_of_the_data_is_the_result(tmp_path: Path) -> None:
    fn = BY_NAME["picked"]
    x, at = arrays_for(fn)
    assert run_host(fn, [x, at + 10], tmp_path)[0] == -1
    assert "// -1: " in host_part(fn)[1]


