"""A packed weight replaces the one that was given: the file's stays in the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

LAYERS, WIDTH = 14, 2048
ALLOWED = 1.2  # times the packed weights and the arena, what compiling takes included

SCRIPT = """
import re, sys
import numpy as np
import onnx
import mlir_lite as ml

def peak():  # what this process held at most, in bytes
    (kilobytes,) = re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
    return 1024 * int(kilobytes)

warm = ml.compile(ml.from_onnx(sys.argv[1]))  # a small model, so that every module is loaded
warm(np.ones((4, 8), "f4"))
before = peak()
run = ml.compile(ml.from_onnx(sys.argv[2]))
run(np.ones((4, 2048), "f4"))
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
def test_the_peak_is_little_more_than_packed_weights_and_arena(tmp_path: Path) -> None:
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    onnx.save(layers(1, 8), small)
    onnx.save(layers(LAYERS, WIDTH), large)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(small), str(large)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    peak, arena = map(int, done.stdout.split())
    packed = LAYERS * WIDTH * WIDTH * 4
    assert packed < peak <= ALLOWED * (packed + arena)
