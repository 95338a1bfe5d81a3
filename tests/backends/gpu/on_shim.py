"""Executables of cards, on a device of the test's choice."""

from __future__ import annotations

import numpy as np

from mlir_lite.backends.cuda.card.device import Device
from mlir_lite.backends.cuda.card.device_array import DeviceArray
from mlir_lite.backends.cuda.executable import Code, CudaExecutable
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.ir import Function
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cuda_pipeline
from mlir_lite.target import Target
from mlir_lite.types import Array

from .compiled import card
from .shim_card import ShimCard


def executable_on(device: Device, fn: Function, target: Target | None = None) -> CudaExecutable:
    """The executable that `ml.compile` makes, for this device."""
    target = target or card()
    lowered = lower(run_passes(fn, cuda_pipeline(target)), target)
    source = CudaSource.of(plan_memory(lowered), target)
    return CudaExecutable(Code(source, lowered.constants, {}, {}, lambda: device))


def uploaded(shim: ShimCard, array: Array) -> DeviceArray:
    shim.enter()
    return DeviceArray.upload(array, shim, shim.stream())


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)  # sums in another order
