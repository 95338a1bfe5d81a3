"""`import mlir_lite` is cheap: what costs is loaded when it is first needed."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

HEAVY = ("llvmlite", "networkx", "onnx", "ml_dtypes")
COMPILED = """
import mlir_lite as ml, numpy as np

@ml.function(ml.f32[64, 8, 16])
def norm(x):
    return ml.softmax(x, axis=-1)

ml.compile(norm, threads=1)(np.ones((64, 8, 16), "f4"))
"""
TRACED = """
import mlir_lite as ml

@ml.function(ml.f32[3])
def twice(x):
    return ml.relu(x) * 2

print(ml.evaluate(twice, __import__("numpy").ones(3, "float32")))
"""


def _run(
    code: str, *options: str, variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, **variables},
    )  # fmt: skip


def _loaded_after(code: str, **variables: str) -> set[str]:
    listing = _run(f"{code}\nimport sys\nprint('LOADED', *sys.modules)", variables=variables).stdout
    return set(listing[listing.index("LOADED") :].split())


def test_import_loads_nothing_heavy() -> None:
    assert _loaded_after("import mlir_lite").isdisjoint(HEAVY)


def test_import_loads_no_operations() -> None:
    assert "mlir_lite.ops" not in _loaded_after("import mlir_lite")


def test_tracing_loads_no_compiler() -> None:
    assert _loaded_after(TRACED).isdisjoint({"llvmlite", "networkx", "onnx"})


def test_import_time_is_printed() -> None:
    lines = _run("import numpy; import mlir_lite", "-X", "importtime").stderr.splitlines()
    last = lines[-1]
    assert last.endswith("mlir_lite")
    print(f"import mlir_lite beyond numpy: {int(last.split('|')[1]) / 1000:.1f} ms")


def test_compiling_for_a_cpu_loads_nothing_for_cards() -> None:
    """Which is a quarter of all modules."""
    loaded = _loaded_after(COMPILED)
    assert "mlir_lite.passes.schedule.recipes" in loaded
    assert not {name for name in loaded if "schedule.gpu." in name or "backends.cuda." in name}


def test_a_second_start_loads_no_passes_and_schedules(tmp_path: Path) -> None:
    """What the first kept has been through all of them."""
    first, second = (_loaded_after(COMPILED, MLIR_LITE_CACHE_DIR=str(tmp_path)) for _ in range(2))
    makers = ("passes.pipelines", "passes.schedule", "passes.lowering", "tile.steps", "report")
    rooms = tuple(f"mlir_lite.{room}" for room in makers)
    assert all(room in first for room in rooms)
    assert not {name for name in second if name.startswith(rooms)}
