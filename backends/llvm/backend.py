"""The CPU backend: a Program becomes LLVM text, machine code and an executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from ...errors import UnsupportedError, check
from ...ir import ConstantData
from ...target import Target, named_target
from ...tile.program import Program
from ..base import Stages, Texts, timed_as
from ..code_cache import default_cache
from .entry.numpy_header import array_header
from .entry.python_call import python_symbols
from .entry.text import entry_exports, entry_text
from .executable import Code, CpuExecutable
from .host import host_figures
from .image import Image
from .kernels.matrices import ask_for_matrices
from .machine.jit import Library, Objects, assembly
from .machine.machine import Machine
from .machine.routines import routine_symbols
from .machine.threads import default_threads
from .pool.pool import pool_code
from .program.body import BODY, TICKS
from .program.modules import ProgramText, emit_program
from .weights import Weights, materialise


def cpu_target(name: str, threads: int | None = None) -> tuple[Target, Machine]:
    """The figures and the machine of `cpu` (the host) or `cpu:NAME`."""
    named = named_target(name)
    count = default_threads() if threads is None else threads
    if named is not None and named.cpu:
        machine = Machine.named("aarch64" if named.cpu == "generic" else named.cpu)
        return replace(named, threads=count), machine
    machine = Machine.host()
    return replace(named or host_figures(machine), threads=count), machine


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
        timed: bool = False,
    ) -> CpuExecutable:
        """Emit, compile, link, and evaluate the constants. `stages` gives the texts of earlier
        stages, `seconds` the times they took. `timed` code notes when each step ends, for
        `CpuExecutable.step_ticks`."""
        report = dict(seconds)
        with self.objects() as objects:
            return self.load(
                self.image(program, report, objects, timed=timed),
                constants,
                lambda: program,
                objects,
                threads=threads,
                stages=stages,
                seconds=report,
                timed=timed,
            )

    def objects(self) -> Objects:
        """What compiles the modules of an image, beginning while it is made."""
        return Objects(self.machine, cache=default_cache(), workers=default_threads())

    def image(
        self, program: Program, report: dict[str, float], objects: Objects, *, timed: bool = False
    ) -> Image:
        """What of a program is needed to run it; the seconds of that are noted in `report`."""
        with timed_as(report, "emit"):
            return Image.of(program, self.emit(program, timed=timed, written=objects.begin))

    def load(
        self,
        image: Image,
        constants: Mapping[str, ConstantData],
        program: Callable[[], Program],
        objects: Objects,
        *,
        threads: int | None,
        stages: Texts,
        seconds: Mapping[str, float],
        timed: bool = False,
        weights: Weights | None = None,
    ) -> CpuExecutable:
        """The rest of `compile`, for the image of a program. `program` makes the program itself,
        should anyone ask for it or its text; `weights` are what others of the function have."""
        check(
            self.machine.architecture == Machine.host().architecture,
            f"code for {self.target.name} cannot run here; look at its text with "
            f"`mlir-lite compile FILE --target {self.target.name} --emit asm`",
            UnsupportedError,
        )
        if self.target.matrix_products:
            ask_for_matrices()
        report = dict(seconds)
        header = array_header()
        entry = entry_text(image.parameters, image.results, BODY, header, self.machine)
        with timed_as(report, "codegen"):
            codes = objects.of((*image.text.modules, entry))
        with timed_as(report, "link"):
            interpreter = {} if header is None else python_symbols()
            routines = routine_symbols(image.text.routines)
            library = Library(
                codes,
                exports=(*entry_exports(header), *((TICKS,) if timed else ())),
                symbols={**pool_code().symbols, **interpreter, **routines},
            )
        with timed_as(report, "constants"):
            make = materialise if weights is None else weights.materialised
            data = make(constants, image.constants)
        machine_texts = self._machine_texts(lambda: image.text)
        texts = {**stages, "tile": lambda: str(program()), **machine_texts}
        code = Code(image, library, data, Stages(texts), program, timed, report)
        return CpuExecutable(code, threads)

    def emit(
        self,
        program: Program,
        *,
        timed: bool = False,
        written: Callable[[str], None] = lambda _: None,
    ) -> ProgramText:
        """The LLVM texts of a program, with the instructions that the target has; `written` is told
        each of most as soon as it is."""
        return emit_program(
            program,
            self.target,
            instructions=self.target.instructions,
            counter=self.machine.counter if timed else None,
            written=written,
        )

    def stage_texts(self, program: Program) -> Texts:
        """The texts this backend makes of a program, each computed when it is asked for."""
        text = cache(lambda: self.emit(program))
        return {"tile": lambda: str(program), **self._machine_texts(text)}

    def _machine_texts(self, text: Callable[[], ProgramText]) -> Texts:
        def asm() -> str:
            return "\n".join(assembly(module, self.machine) for module in text().modules)

        return {"llvm": lambda: "\n".join(text().modules), "asm": asm}
