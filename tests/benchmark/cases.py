"""A workload on disk: its ONNX file, its inputs, its float64 results, made once. A training step
has weights instead of a file; its results are the loss and the weights after it.

The files lie in a folder named by a digest of the definitions, so that a change of them makes new
ones.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from mlir_lite.cli.counting import matrix_flops
from mlir_lite.cli.runners import onnxruntime_call
from mlir_lite.frontends.onnx import from_onnx
from mlir_lite.ir import Constant
from mlir_lite.types import Array

from .quantise import quantise
from .training import training_arrays
from .workload import Workload

_OPSET = 17
_DEFINITIONS = (
    "cases.py", "layers.py", "models.py", "quantise.py", "recurrent.py", "trained.py",
    "training.py", "workload.py", "workloads.py",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A workload ready to be run, small enough to be sent to a process.

    `flops` are those of matrix products and convolutions as the definition has them, `bytes` those
    of inputs, weights and result, each once.
    """

    name: str
    group: str
    onnx: str  # a path; the model's inputs are `x0`, `x1`, …, its result is `y`
    arrays: str  # a path; the inputs and the float64 results (of integers, onnxruntime's), named so
    flops: int
    bytes: int
    kept: str = ""  # a folder for what engines keep between processes, instead of their own

    def inputs(self) -> dict[str, Array]:
        """The inputs by name."""
        return self._stored("x")

    def weights(self) -> dict[str, Array]:
        """The weights that training begins with, by name."""
        return {name[2:]: array for name, array in self._stored("w.").items()}

    def error(self, results: Sequence[Array]) -> float:
        """The largest difference to a float64 result, relative to its largest element."""
        wanted = self._stored("y").values()
        return max(_difference(*pair) for pair in zip(results, wanted, strict=True))

    def _stored(self, prefix: str) -> dict[str, Array]:
        # Copied, as arrays that NumPy makes lie in large pages, and those of a file do not.
        stored = load_file(self.arrays)
        return {name: stored[name].copy() for name in sorted(stored) if name.startswith(prefix)}


def _difference(found: Array, wanted: Array) -> float:
    difference = np.abs(np.asarray(found, np.float64).reshape(wanted.shape) - wanted)
    return float(difference.max() / np.abs(wanted).max())


def prepare(work: Workload, cache: Path) -> Case:
    """The case of a workload, from the cache where it is there. `ImportError` without torch, which
    making one takes."""
    folder = cache / _digest()
    folder.mkdir(parents=True, exist_ok=True)
    stem = work.base or work.name
    model, arrays = folder / f"{stem}.onnx", folder / f"{stem}.safetensors"
    if not arrays.exists():
        _make(work, model, arrays)
    fn = from_onnx(model) if work.training is None else work.training.step(work).function
    weights = sum(
        node.results[0].type.nbytes for node in fn.nodes if isinstance(node.op, Constant)
    )
    ends = sum(value.type.nbytes for value in (*fn.params, *fn.results))
    return Case(
        work.name, work.group, str(model), str(arrays), matrix_flops(fn), weights + ends
    )


def _digest() -> str:
    here = Path(__file__).parent
    texts = b"".join((here / name).read_bytes() for name in _DEFINITIONS)
    return hashlib.sha256(texts).hexdigest()[:12]


def _make(work: Workload, model: Path, arrays: Path) -> None:
    import torch  # takes seconds, and only the first run of a workload needs it

    if work.training is not None:
        _save(arrays, training_arrays(work))
        return
    inputs = {f"x{place}": array for place, array in enumerate(work.inputs())}
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    module = work.module().eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about what it will become
        torch.onnx.export(
            module, tensors, str(model), opset_version=_OPSET, dynamo=False,
            input_names=list(inputs), output_names=["y"],
        )  # fmt: skip
        wide = (entry.double() if entry.is_floating_point() else entry for entry in tensors)
        wanted = module.double()(*wide).numpy().copy()  # in the order of its shape
    if work.precision == "int8":
        quantise(model, inputs)
        [wanted] = onnxruntime_call(str(model), 1, inputs, ["y"])()
    _save(arrays, {**inputs, "y": wanted})


def _save(arrays: Path, entries: dict[str, Array]) -> None:
    part = arrays.with_suffix(".part")
    save_file(entries, part)
    part.replace(arrays)  # last, so that a case is there only when all of it is
