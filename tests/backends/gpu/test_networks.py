"""Whole networks on cards: what their kernels are, and that they compute them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import pytest

from mlir_lite import Function
from mlir_lite.backends.cuda.code.nvrtc import compile_source
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.ir import run_reference

from .compiled import Compiled, card, planned
from .networks import mobilenet2, resnet18
from .shim import needs_shim

each_network = pytest.mark.parametrize("network", [resnet18, mobilenet2])


def source_of(fn: Function) -> CudaSource:
    return CudaSource.of(planned(fn, card())[0], card())


@each_network
def test_every_kernel_has_work_for_many_threads(network: Callable[[int, int], Function]) -> None:
    """Of a batch of eight images: none runs in one block, or reads an operand of a product element
    by element but the first, whose three channels are no whole access."""
    source = source_of(network(8, 224))
    lonely = [
        kernel.name
        for kernel in source.kernels.values()
        if prod(kernel.grid) < 8 or prod(kernel.grid) * prod(kernel.block) < 4000
    ]
    assert not lonely
    names = {call.kernel.split("_")[0] for call in source.program.calls}
    assert names <= {"panel", "matmul", "winograd", "depthwise", "max", "transpose"}
    transposes = [call.kernel for call in source.program.calls if call.kernel == "transpose"]
    assert not transposes  # but one in the kernel of the mean


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.slow
@each_network
def test_no_kernel_spills(network: Callable[[int, int], Function]) -> None:
    source = source_of(network(8, 224))
    for architecture in ("sm_80", "sm_90a", "sm_100"):
        made = compile_source(str(source), architecture, strict=True)
        assert not [name for name, usage in made.usage.items() if usage.spilled_bytes]


@needs_shim
@pytest.mark.slow
@each_network
@pytest.mark.parametrize("winograd", ["off", 4])
def test_source_computes_the_network(
    network: Callable[[int, int], Function], winograd: str | int, tmp_path: Path
) -> None:
    fn = network(1, 40)
    x = np.random.default_rng(1).standard_normal((1, 3, 40, 40)).astype(np.float32)
    (found,) = Compiled.of(fn, tmp_path, "-O2", winograd=winograd)(x)
    (exact,) = run_reference(fn, [x.astype(np.float64)])
    assert np.abs(found - exact).max() <= 1e-4 * np.abs(exact).max()
