"""The engines: each makes, of a case, a call that can be timed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Protocol

import numpy as np

import mlir_lite as ml
from mlir_lite.cli.runners import FILE_RUNTIMES, Call
from mlir_lite.ir import results_of
from mlir_lite.types import Array

from .cases import Case
from .training import jax_step, our_step, torch_step
from .workload import Workload
from .workloads import WORKLOADS

OURS = "mlir-lite"


class Engine(Protocol):
    """A way to run cases."""

    @property
    def package(self) -> str:
        """The package that it takes, as one imports it."""

    def takes(self, case: Case) -> bool:
        """Whether there is a natural way for it to run a case."""

    def call(self, case: Case, threads: int) -> Call:
        """Everything that is done once, compiling included; then the call."""


@dataclass(frozen=True)
class Compiled:
    """This compiler."""

    package: str = "mlir_lite"

    def takes(self, case: Case) -> bool:
        return True

    def call(self, case: Case, threads: int) -> Call:
        work, dsl = WORKLOADS[case.name], WORKLOADS[case.name].dsl
        if work.training is not None:
            return our_step(work, case.weights(), list(case.inputs().values()), threads)
        function = ml.from_onnx(case.onnx) if dsl is None else dsl()
        executable = ml.compile(function, threads=threads, precision=_option(work))
        arrays = tuple(case.inputs().values())
        return lambda: results_of(executable(*arrays))


@dataclass(frozen=True)
class FileRuntime:
    """A runtime of ONNX files, known to `mlir-lite bench`, too."""

    package: str
    options: tuple[str, ...] = ("f32",)  # of the precision

    def takes(self, case: Case) -> bool:
        work = WORKLOADS[case.name]
        return work.dsl is None and work.training is None and _option(work) in self.options

    def call(self, case: Case, threads: int) -> Call:
        make, option = FILE_RUNTIMES[self.package], _option(WORKLOADS[case.name])
        return make(case.onnx, threads, case.inputs(), ["y"], precision=option)


def _option(work: Workload) -> str:
    """What a file runtime is told: that weights are of integers, the file says itself."""
    return "f32" if work.precision == "int8" else work.precision


@dataclass(frozen=True)
class Jax:
    """jax.jit of the workload's own function; its arrays are on the device beforehand."""

    package: str = "jax"

    def takes(self, case: Case) -> bool:
        return WORKLOADS[case.name].jax is not None

    def call(self, case: Case, threads: int) -> Call:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")  # XLA's threads are as many as processors
        import jax

        if WORKLOADS[case.name].training is not None:
            return jax_step(WORKLOADS[case.name], case.weights(), list(case.inputs().values()))
        make = WORKLOADS[case.name].jax
        assert make is not None
        function = jax.jit(make())
        arrays = [jax.device_put(array) for array in case.inputs().values()]

        def call() -> Sequence[Array]:
            # On a CPU the NumPy array shares the result's memory.
            return [np.asarray(function(*arrays).block_until_ready())]

        return call


@dataclass(frozen=True)
class Torch:
    """torch, eager."""

    package: str = "torch"

    def takes(self, case: Case) -> bool:
        work = WORKLOADS[case.name]
        return work.dsl is None and work.precision == "f32"

    def call(self, case: Case, threads: int) -> Call:
        import torch

        work = WORKLOADS[case.name]
        if work.training is not None:
            inputs = list(case.inputs().values())
            return torch_step(work, case.weights(), inputs, threads, compiled=False)
        torch.set_num_threads(threads)
        module = work.module().eval()
        tensors = [torch.from_numpy(array) for array in case.inputs().values()]

        def call() -> Sequence[Array]:
            with torch.inference_mode():
                return [module(*tensors).numpy()]

        return call


@dataclass(frozen=True)
class TorchCompiled:
    """torch.compile, for steps of training: the others are compared with what runs model files."""

    package: str = "torch"

    def takes(self, case: Case) -> bool:
        return WORKLOADS[case.name].training is not None

    def call(self, case: Case, threads: int) -> Call:
        inputs = list(case.inputs().values())
        work = WORKLOADS[case.name]
        return torch_step(work, case.weights(), inputs, threads, compiled=True)


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        OURS: Compiled(),
        "onnxruntime": FileRuntime("onnxruntime"),
        "openvino": FileRuntime("openvino", ("f32", "bf16")),
        "jax": Jax(),
        "torch": Torch(),
        "torch-compile": TorchCompiled(),
    }
)


def missing(names: Sequence[str]) -> list[str]:
    """Those of these engines whose package is not installed."""
    return [name for name in names if find_spec(ENGINES[name].package) is None]


def make_call(name: str, case: Case, threads: int) -> Call:
    """The call of an engine, for a process that knows its name only."""
    return ENGINES[name].call(case, threads)
