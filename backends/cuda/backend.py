"""The CUDA backend: a Program becomes CUDA source, and machine code where NVIDIA's compiler is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from ...ir import ConstantData
from ...target import Target
from ...tile.program import Program
from ..base import Stages, Texts, timed_as
from .card.here import found_card
from .code.cubins import kept_binary
from .code.nvrtc import Binary, ptx_text
from .code.occupancy import resources_text
from .code.sass import sass_text
from .executable import Code, CudaExecutable
from .source.source import CudaSource


@dataclass(frozen=True)
class CudaBackend:
    """Writes CUDA source for one kind of card."""

    target: Target

    def compile(
        self,
        program: Program,
        constants: Mapping[str, ConstantData],
        *,
        threads: int | None,
        stages: Texts,
        seconds: Mapping[str, float],
    ) -> CudaExecutable:
        """`threads` are those of a CPU and change nothing. Machine code is made where there is a
        card, and at the first call."""
        report = dict(seconds)
        with timed_as(report, "emit"):
            source = self.source(program)
        texts = Stages({**stages, **self.stage_texts(program)})
        return CudaExecutable(Code(source, constants, texts, report, found_card))

    def source(self, program: Program) -> CudaSource:
        """The source of a program."""
        return CudaSource.of(program, self.target)

    def stage_texts(self, program: Program) -> Texts:
        """`tile`, `cuda`, and with NVIDIA's compiler `ptx` and `resources`, what kernels take; with
        its disassembler `sass`."""
        source = cache(lambda: self.source(program))
        gpu = self.target.gpu
        assert gpu is not None
        binary: Callable[[], Binary] = cache(
            lambda: kept_binary(source().code, source().architecture)
        )

        def resources() -> str:
            usage = binary().usage_with(source().asked_bytes)
            return resources_text(usage, source().block_threads, gpu)

        return {
            "tile": lambda: str(program),
            "cuda": lambda: str(source()),
            "ptx": lambda: ptx_text(str(source()), source().architecture),
            "sass": lambda: sass_text(binary()),
            "resources": resources,
        }
