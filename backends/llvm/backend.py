"""The CPU backend: a Program becomes LLVM text, machine code and an executable."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ...errors import UnsupportedError, check
from ...ir import ConstantData
from ...target import Target, named_target
from ...tile.program import Program, Role
from ...types import Array, TensorType
from ..base import Stages, Texts
from .arrays import ArraySpec
from .cache import default_cache
from .emit_instructions import native_instructions
from .emit_program import BODY, ProgramText, emit_program
from .entry_text import entry_exports, entry_text
from .executable import Code, CpuExecutable
from .jit import Library, assembly, compile_objects
from .machine import Machine
from .memory import aligned_copy
from .numpy_header import array_header
from .pool import pool_code
from .threads import default_threads


def cpu_target(name: str, threads: int | None = None) -> tuple[Target, Machine]:
    """The figures and the machine of `cpu` (the host) or `cpu:NAME`."""
    named = named_target(name)
    count = default_threads() if threads is None else threads
    if named is not None and named.cpu:
        machine = Machine.named("aarch64" if named.cpu == "generic" else named.cpu)
        return replace(named, threads=count), machine
    machine = Machine.host()
    return replace(named or host_figures(machine), threads=count), machine


def host_figures(machine: Machine) -> Target:
    """The figures of the host, from what LLVM says it can do."""
    features = set(machine.features.split(","))
    if "+avx512f" in features:
        return Target("cpu", machine.cpu)
    if "+avx2" in features and "+fma" in features:
        return Target("cpu", machine.cpu, vector_bytes=32, vector_registers=16, peak_flops=100e9)
    wide = machine.architecture == "aarch64"
    return Target(
        "cpu", machine.cpu, vector_bytes=16, vector_registers=32 if wide else 16, has_fma=wide
    )


@dataclass(frozen=True)
class CpuBackend:
    """Compiles for one machine; runs only if that is the host or an older one of its kind."""

    target: Target
    machine: Machine

    def compile(
        self,
        program: Program,
        constants: Mapping[str, ConstantData],
        *,
        threads: int | None = None,
        stages: Texts = MappingProxyType({}),
        seconds: Mapping[str, float] = MappingProxyType({}),
    ) -> CpuExecutable:
        """Emit, compile, link, and evaluate the constants. `stages` gives the texts of earlier
        stages, `seconds` the times they took."""
        check(
            self.machine.architecture == Machine.host().architecture,
            f"code for {self.target.name} cannot run here; look at its text with "
            f"`mlir-lite compile FILE --target {self.target.name} --emit asm`",
            UnsupportedError,
        )
        report = dict(seconds)
        clock = _Clock(report)
        text = self.emit(program)
        parameters = tuple(ArraySpec(name, program.slot(name).type) for name in program.params)
        results = tuple(ArraySpec(name, program.slot(name).type) for name in program.results)
        header = array_header()
        entry = entry_text(parameters, results, BODY, header)
        clock.lap("emit")
        modules = (*text.modules, entry)
        objects = compile_objects(
            modules, self.machine, cache=default_cache(), workers=default_threads()
        )
        clock.lap("codegen")
        library = Library(
            objects,
            exports=entry_exports(len(parameters) + len(results), header),
            symbols=pool_code().symbols,
        )
        clock.lap("link")
        data = tuple(materialise(constants, program))
        clock.lap("constants")
        texts = Stages({**stages, **self.stage_texts(program, text)})
        code = Code(program, text, library, data, texts, parameters, results, report)
        return CpuExecutable(code, threads)

    def emit(self, program: Program) -> ProgramText:
        """The LLVM texts of a program, with the instructions that the machine has."""
        instructions = native_instructions(self.machine)
        return emit_program(program, self.target, instructions=instructions)

    def stage_texts(
        self, program: Program, text: ProgramText | None = None
    ) -> Texts:
        """The texts this backend makes of a program, each computed when it is asked for."""

        def modules() -> tuple[str, ...]:
            return (text or self.emit(program)).modules

        return {
            "tile": lambda: str(program),
            "llvm": lambda: "\n".join(modules()),
            "asm": lambda: "\n".join(assembly(module, self.machine) for module in modules()),
        }


class _Clock:
    """Seconds between laps."""

    def __init__(self, report: dict[str, float]) -> None:
        self._report = report
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._report[name] = now - self._last
        self._last = now


def materialise(constants: Mapping[str, ConstantData], program: Program) -> Iterator[Array]:
    """The arrays of the constant slots, in the program's order, aligned; equal data once."""
    made: dict[object, Array] = {}
    for slot in program.slots:
        if slot.role is not Role.CONSTANT:
            continue
        data = constants[slot.name]
        key = data.key()
        if key not in made:
            made[key] = aligned_copy(_typed(data.array(), slot.type))
        yield made[key]


def _typed(array: Array, type_: TensorType) -> Array:
    return np.ascontiguousarray(array, type_.dtype.numpy).reshape(type_.static_shape)
