"""Executables of cards, on the CPU in a card's place."""

from __future__ import annotations

from mlir_lite.backends.cuda.executable import Code, CudaExecutable
from mlir_lite.backends.cuda.source import CudaSource
from mlir_lite.ir import Function
from mlir_lite.passes.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.pipelines import cuda_pipeline
from mlir_lite.passes.plan_memory import plan_memory

from .compiled import card
from .shim_card import ShimCard


def executable_on(shim: ShimCard, fn: Function) -> CudaExecutable:
    """The executable that `ml.compile` makes, for this device."""
    target = card()
    lowered = lower(run_passes(fn, cuda_pipeline(target)), target)
    source = CudaSource.of(plan_memory(lowered), target)
    return CudaExecutable(Code(source, lowered.constants, {}, {}, lambda: shim))
