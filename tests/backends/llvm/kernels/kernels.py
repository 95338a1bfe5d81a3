"""Runs kernels as machine code, for the tests of the emitter."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from mlir_lite.backends.llvm.kernels.kernel import SLOT_WORDS, KernelText, emit_kernel
from mlir_lite.backends.llvm.machine.jit import Library, compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.program.modules import module_text
from mlir_lite.target import Target, named_target
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import Array

HOST = Target("cpu")
# Machines that the host can run, however little of it they use.
TARGETS: Mapping[str, tuple[Target, Machine]] = {
    "host": (HOST, Machine.host()),
    "haswell": (named_target("cpu:haswell") or HOST, Machine.named("haswell")),
    "x86-64": (named_target("cpu:x86-64") or HOST, Machine.named("x86-64")),
}


class Compiled:
    """A kernel's code; a call runs its stages one after the other, on this thread."""

    def __init__(self, text: KernelText, machine: Machine) -> None:
        self.text = text
        codes = compile_objects([module_text([text])], machine, cache=None, workers=1)
        self.library = Library(codes, exports=[stage.task for stage in text.stages])
        self.common = np.zeros(text.common_bytes + 64, np.uint8)

    def __call__(self, *arrays: Array, pieces: int = 1, others: int = 0) -> None:
        """Run on the parameters' arrays, each parallel loop dealt out in so many pieces, while so
        many `others` have their scratch memory, which must not be touched."""
        size = self.text.thread_bytes
        scratch = np.zeros((others + 1) * size + 64, np.uint8)
        in_use = np.arange(64 * SLOT_WORDS) < others
        used = np.packbits(in_use, bitorder="little").view(np.int64)
        pointers = [array.ctypes.data for array in arrays]
        if self.text.common_bytes:
            pointers.append(self.common.ctypes.data)
        if self.text.thread_bytes:
            pointers += [scratch.ctypes.data, used.ctypes.data]
        context = (ctypes.c_void_p * len(pointers))(*pointers)
        for stage in self.text.stages:
            task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
                self.library.address(stage.task)
            )
            ends = [stage.extent * piece // pieces for piece in range(pieces + 1)]
            for low, high in pairwise(ends):
                task(ctypes.addressof(context), low, high)
        assert not scratch[: others * size].any()
        assert (np.unpackbits(used.view(np.uint8), bitorder="little") == in_use).all()


def compiled(kernel: Kernel | str, where: str = "host", **options: frozenset[str]) -> Compiled:
    """The code of a kernel or of its text."""
    if isinstance(kernel, str):
        kernel = parse_kernel(kernel)
    target, machine = TARGETS[where]
    return Compiled(emit_kernel(kernel, target, **options), machine)


def run(
    kernel: Kernel | str, arrays: Mapping[str, Array], where: str = "host", *, pieces: int = 1
) -> dict[str, Array]:
    """The outputs of a kernel as machine code; those that are given start as given."""
    if isinstance(kernel, str):
        kernel = parse_kernel(kernel)
    memory = [
        np.array(arrays[param.name]) if param.name in arrays
        else np.full(param.memory_shape, 77, param.dtype.numpy)
        for param in kernel.params
    ]
    compiled(kernel, where)(*memory, pieces=pieces)
    names = [param.name for param in kernel.params]
    return {name: memory[names.index(name)] for name in kernel.outputs}


def agree(kernel: Kernel | str, arrays: Mapping[str, Array], *, tolerance: float = 0.0) -> None:
    """Machine code gives what the interpreter gives, on every target.

    `tolerance` is relative to the largest output: sums may be fused or joined in another order.
    """
    if isinstance(kernel, str):
        kernel = parse_kernel(kernel)
    with np.errstate(all="ignore"):
        expected = run_kernel(kernel, arrays)
    for where in TARGETS:
        found = run(kernel, arrays, where)
        for name, array in expected.items():
            scale = np.abs(np.nan_to_num(array.astype(np.float64))).max(initial=1.0)
            np.testing.assert_allclose(
                found[name].astype(np.float64),
                array.astype(np.float64),
                rtol=0,
                atol=tolerance * scale,
                err_msg=f"{kernel.name}.{name} on {where}",
            )


def normal(*shape: int, seed: int = 0) -> Array:
    """Normally distributed f32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
