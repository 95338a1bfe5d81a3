"""The engines: each makes, of a case, a call that can be timed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Protocol

import numpy as np

import mlir_lite as ml
from mlir_lite.cli.runners import FILE_RUNTIMES, Call, onnxruntime_session, openvino_model
from mlir_lite.ir import results_of
from mlir_lite.types import Array

from .cases import Case
from .training import jax_step, our_step, torch_step
from .workload import Workload
from .workloads import START, WORKLOADS

OURS = "mlir-lite"


class Engine(Protocol):
    """A way to run cases."""

    @property
    def package(self) -> str:
        """The package that it takes, as one imports it."""

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that it loads before it does anything."""

    @property
    def is_of_files(self) -> bool:
        """Whether it reads a model's file, and has compiled that when it has made the call. Others
        are given the model in Python and compile in the first call."""

    def takes(self, case: Case) -> bool:
        """Whether there is a natural way for it to run a case."""

    def call(self, case: Case, threads: int) -> Call:
        """Everything that is done once, compiling included; then the call."""


@dataclass(frozen=True)
class Compiled:
    """This compiler."""

    package: str = "mlir_lite"
    imports: tuple[str, ...] = (
        *("mlir_lite.driver", "mlir_lite.frontends.onnx"),
        *("onnx", "llvmlite.binding"),
    )
    is_of_files: bool = True

    def takes(self, case: Case) -> bool:
        return True

    def call(self, case: Case, threads: int) -> Call:
        work = WORKLOADS[case.name]
        if work.training is not None:
            return our_step(work, case.weights(), list(case.inputs().values()), threads)
        executable = self.executable(case, threads)
        arrays = tuple(case.inputs().values())
        return lambda: results_of(executable(*arrays))

    def executable(self, case: Case, threads: int) -> ml.Executable:
        """The case compiled, of what is no step of training."""
        work, dsl = WORKLOADS[case.name], WORKLOADS[case.name].dsl
        if case.kept:
            os.environ["MLIR_LITE_CACHE_DIR"] = case.kept
        function = ml.from_onnx(case.onnx) if dsl is None else dsl()
        return ml.compile(function, threads=threads, precision=_option(work))


@dataclass(frozen=True)
class FileRuntime:
    """A runtime of ONNX files, known to `mlir-lite bench`, too."""

    package: str
    options: tuple[str, ...] = ("f32",)  # of the precision
    is_of_files: bool = True

    @property
    def imports(self) -> tuple[str, ...]:
        return (self.package,)

    def takes(self, case: Case) -> bool:
        work = WORKLOADS[case.name]
        return work.dsl is None and work.training is None and _option(work) in self.options

    def call(self, case: Case, threads: int) -> Call:
        work = WORKLOADS[case.name]
        if work.is_plain:
            return _PLAIN[self.package](case, threads)
        make = FILE_RUNTIMES[self.package]
        return make(case.onnx, threads, case.inputs(), ["y"], precision=_option(work))


def _onnxruntime_plain(case: Case, threads: int) -> Call:
    session = onnxruntime_session(case.onnx, threads)
    inputs = case.inputs()

    def call() -> Sequence[Array]:
        results: Sequence[Array] = session.run(None, inputs)
        return results

    return call


def _openvino_plain(case: Case, threads: int) -> Call:
    option = _option(WORKLOADS[case.name])
    model = openvino_model(case.onnx, threads, option, case.kept)
    inputs = case.inputs()
    return lambda: [model(inputs)[0]]


# The calls that their manuals show.
_PLAIN: Mapping[str, Callable[[Case, int], Call]] = MappingProxyType(
    {"onnxruntime": _onnxruntime_plain, "openvino": _openvino_plain}
)


def _option(work: Workload) -> str:
    """What a file runtime is told: that weights are of integers, the file says itself."""
    return "f32" if work.precision == "int8" else work.precision


@dataclass(frozen=True)
class Jax:
    """jax.jit of the workload's own function; its arrays are on the device beforehand."""

    package: str = "jax"
    imports: tuple[str, ...] = ("jax",)
    is_of_files: bool = False

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
    """torch, eager, which needs no start; or torch.compile for small calls, starts and steps of
    training: the others are compared with what runs model files."""

    is_compiled: bool = False
    package: str = "torch"
    is_of_files: bool = False

    @property
    def imports(self) -> tuple[str, ...]:
        further = ("torch._dynamo", "torch._inductor.compile_fx") if self.is_compiled else ()
        return (self.package, *further)

    def takes(self, case: Case) -> bool:
        work = WORKLOADS[case.name]
        if self.is_compiled:
            return work.training is not None or work.is_plain
        return work.dsl is None and work.precision == "f32" and work.group != START

    def call(self, case: Case, threads: int) -> Call:
        import torch

        work = WORKLOADS[case.name]
        if work.training is not None:
            inputs = list(case.inputs().values())
            compiled = self.is_compiled
            return torch_step(work, case.weights(), inputs, threads, compiled=compiled)
        torch.set_num_threads(threads)
        module = work.module().eval()
        if self.is_compiled:
            if case.kept:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = case.kept
            module = torch.compile(module)
        tensors = [torch.from_numpy(array) for array in case.inputs().values()]

        def call() -> Sequence[Array]:
            with torch.inference_mode():
                return [module(*tensors).numpy()]

        return call


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        OURS: Compiled(),
        "onnxruntime": FileRuntime("onnxruntime"),
        "openvino": FileRuntime("openvino", ("f32", "bf16")),
        "jax": Jax(),
        "torch": Torch(),
        "torch-compile": Torch(is_compiled=True),
    }
)


def missing(names: Sequence[str]) -> list[str]:
    """Those of these engines whose package is not installed."""
    return [name for name in names if find_spec(ENGINES[name].package) is None]


def make_call(name: str, case: Case, threads: int) -> Call:
    """The call of an engine, for a process that knows its name only."""
    return ENGINES[name].call(case, threads)
