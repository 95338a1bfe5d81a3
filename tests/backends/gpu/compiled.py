"""Functions compiled for a card: the source, and its results when the text runs on the CPU."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlir_lite.backends.cuda.card.calls import Caller
from mlir_lite.backends.cuda.card.runner import Loaded
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.ir import ConstantData, Function
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cuda_pipeline
from mlir_lite.target import Target, named_target
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from .shim import ShimDevice, build, build_checked, unit_text
from .shim_card import ShimCard


def card(
    name: str = "sm_90", threads: int = 256, multiprocessors: int = 132, factors: str = "f32"
) -> Target:
    """A card's figures, with so many threads a block, so many blocks that keep it busy, and what
    factors are rounded to."""
    target = named_target(f"cuda:{name}")
    assert target is not None and target.gpu is not None
    gpu = dataclasses.replace(
        target.gpu,
        block_threads=threads,
        multiprocessors=multiprocessors,
        factors=factors,
    )
    return dataclasses.replace(target, gpu=gpu)


def planned(
    fn: Function, target: Target, winograd: str | int = "auto"
) -> tuple[Program, dict[str, Array]]:
    """The program of a function, with the data of its constants."""
    lowered = lower(run_passes(fn, cuda_pipeline(target, winograd=winograd)), target)
    data = {name: constant.array() for name, constant in lowered.constants.items()}
    return plan_memory(lowered), data


@dataclass(frozen=True)
class Compiled:
    """A function's source, and the library that g++ made of the kernels in it."""

    source: CudaSource
    constants: Mapping[str, Array]
    device: ShimDevice

    @staticmethod
    def of(
        fn: Function,
        folder: Path,
        *flags: str,
        target: Target | None = None,
        watched: bool = False,
        winograd: str | int = "auto",
    ) -> Compiled:
        target = target or card()
        program, constants = planned(fn, target, winograd)
        source = CudaSource.of(program, target)
        text = unit_text(list(source.kernels.values()))
        if watched:
            device = ShimDevice(build_checked(text, folder, fn.name), watches=True)
        else:
            device = ShimDevice(build(text, folder, fn.name, *flags))
        return Compiled(source, constants, device)

    @staticmethod
    def together(
        fns: Sequence[Function], folder: Path, *, target: Target, watched: bool = False
    ) -> dict[str, Compiled]:
        """Several functions by their names, in one library: g++ takes longest to start."""
        planned_ = [planned(fn, target) for fn in fns]
        sources = [
            _renamed(CudaSource.of(program, target), fn.name)
            for fn, (program, _) in zip(fns, planned_, strict=True)
        ]
        text = unit_text([kernel for source in sources for kernel in source.kernels.values()])
        built = build_checked if watched else build
        device = ShimDevice(built(text, folder, "together"), watches=watched)
        return {
            fn.name: Compiled(source, constants, device)
            for fn, source, (_, constants) in zip(fns, sources, planned_, strict=True)
        }

    def __call__(
        self, *arrays: Array, order: str = "ascending", without: int = 0
    ) -> tuple[Array, ...]:
        """The results, with threads and blocks in this order, `without` the barrier of a line.
        Arrays that the function is given to keep stay as they are."""
        device = dataclasses.replace(self.device, order=order, without=without, memory={})
        shim = ShimCard(device.library, device)
        constants = {name: ConstantData.of(array) for name, array in self.constants.items()}
        with np.errstate(all="ignore"):
            caller = Caller(Loaded.on(shim, self.source, constants))
            copies = [array.copy() for array in arrays]
            return tuple(map(np.asarray, caller(copies, None, None)))


def _renamed(source: CudaSource, prefix: str) -> CudaSource:
    """A source whose kernels have names that those of other functions have not."""
    kernels = {}
    for name, kernel in source.kernels.items():
        own = f"{prefix}_{kernel.name}"
        text = re.sub(rf"\b{kernel.name}\b", own, kernel.source)
        kernels[name] = dataclasses.replace(kernel, name=own, source=text)
    return dataclasses.replace(source, kernels=kernels)


def all_orders(compiled: Compiled, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results, which must be the same bits in any order of threads and blocks."""
    first = compiled(*arrays)
    for order in ("descending", "shuffled"):
        for one, other in zip(first, compiled(*arrays, order=order), strict=True):
            assert one.tobytes() == other.tobytes(), f"{order} threads compute something else"
    return first
