"""A packed weight replaces the one that was given: the file's stays in the file."""

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlir_lite as ml

MODELS = {"many layers": (14, 2048), "one layer": (1, 6144)}  # how many of which width
ALLOWED = 1.2  # times the packed weights and the arena, what compiling takes included

SCRIPT = """
import re, sys
import numpy as np
import onnx
import mlir_lite as ml

def peak():  # what this process held at most, in bytes
    (kilobytes,) = re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
    return 1024 * int(kilobytes)

warm = ml.compile(ml.from_onnx(sys.argv[1]))  # a small model, not kept: every module is loaded
warm(np.ones((4, 8), "f4"))
before = peak()
run = ml.compile(ml.from_onnx(sys.argv[2]))
run(np.ones((4, int(sys.argv[3])), "f4"))
print(peak() - before, run.memory.arena_bytes)
"""


def layers(count: int, width: int) -> onnx.ModelProto:
    """So many square products, one after the other."""
    random = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(count):
        weight = random.standard_normal((width, width), np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"x{layer + 1}"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (4, width))
        for name in ("x0", f"x{count}")
    ]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak as Linux counts it")
@pytest.mark.parametrize("model", MODELS)
def test_the_peak_is_little_more_than_packed_weights_and_arena(model: str, tmp_path: Path) -> None:
    count, width = MODELS[model]
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    onnx.save(layers(1, 8), small)
    onnx.save(layers(count, width), large)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(small), str(large), str(width)],
        capture_output=True, text=True, check=True,
        env={**os.environ, "MLIR_LITE_CACHE_DIR": str(tmp_path / "cache")},
    )  # fmt: skip
    peak, arena = map(int, done.stdout.split())
    packed = count * width * width * 4
    assert packed < peak <= ALLOWED * (packed + arena)


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux has mapped")
def test_compiled_weights_are_held_once(tmp_path: Path) -> None:
    """Neither is the file mapped, nor is there another array of them."""
    path, width = tmp_path / "model.onnx", 200
    onnx.save(layers(20, width), path)
    function = ml.from_onnx(path)
    ml.compile(function)  # what this takes for all that follow is there
    gc.collect()
    tracemalloc.start()
    run = ml.compile(function)
    arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    held = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)
    tracemalloc.stop()
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert held < width * width * 4  # less than one of them: they lie in a huge page, not traced
    assert np.isfinite(run(np.ones((4, width), np.float32))).all()
