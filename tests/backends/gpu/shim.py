"""CUDA source run on the CPU: compiled by g++ with `shim.h` before it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from mlir_lite.backends.cuda.source.c_names import element_type
from mlir_lite.backends.cuda.source.functions import FUNCTIONS
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.backends.cuda.source.tensor_maps import (
    PROMOTE_TO_256_BYTES,
    SWIZZLE_128_BYTES,
    TensorMap,
)
from mlir_lite.backends.cuda.source.wrappers import needed
from mlir_lite.types import Array

HEADER = Path(__file__).with_name("shim.h")
ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}

needs_shim = pytest.mark.skipif(
    shutil.which("g++") is None or platform.machine() != "x86_64",
    reason="kernels run on the CPU through g++ on x86-64",
)


class Config(ctypes.Structure):
    """`shim_config`."""

    _fields_ = (
        ("grid", ctypes.c_int * 3),
        ("block", ctypes.c_int * 3),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("without", ctypes.c_int),
        ("asked", ctypes.c_int),
    )


def unit_text(kernels: Sequence[CudaKernel]) -> str:
    """The C++ of kernels with distinct names, and what starts each."""
    sources = "\n\n".join(kernel.source for kernel in kernels)
    helpers = "\n\n".join(FUNCTIONS[name] for name in needed(sources)[1])
    starts = "\n".join(map(_start, kernels))
    return f'#include "{HEADER}"\n\n{helpers}\n\n{sources}\n\n{starts}\n'


def _start(kernel: CudaKernel) -> str:
    count = len(kernel.params)
    pointers = [
        f"*({element_type(param.dtype)}**)args[{place}]"
        for place, param in enumerate(kernel.params)
    ]
    maps = [f"*(TensorMap*)args[{count + place}]" for place in range(len(kernel.tensor_maps))]
    args = ", ".join(pointers + maps)
    return (
        f"static void start_{kernel.name}(void** args) {{ {kernel.name}({args}); }}\n"
        f'extern "C" const char* run_{kernel.name}(const shim_config* config, void** args)\n'
        f"{{ return shim_launch(start_{kernel.name}, config, args); }}"
    )


def registrations(kernels: Sequence[CudaKernel]) -> str:
    """What lets the runtime's `cudaLaunchKernel` find kernels by their addresses."""
    return "\n".join(
        f"{_start(kernel)}\nstatic shim_register registered_{kernel.name}("
        f"(const void*){kernel.name}, start_{kernel.name});"
        for kernel in kernels
    )


# In a process whose libraries are those of the sanitizers kernels are watched by them too.
SANITIZES = "SHIM_SANITIZES" in os.environ
_SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def sanitizer_library() -> str:
    """What such a process loads before all else."""
    command = ["g++", "-print-file-name=libasan.so"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def build(text: str, folder: Path, name: str, *flags: str) -> ctypes.CDLL:
    """The text as a library."""
    source, library = folder / f"{name}.cpp", folder / f"{name}.so"
    source.write_text(text)
    flags = (*flags, *(_SANITIZERS if SANITIZES else ()))
    command = ["g++", "-O1", "-march=native", "-fwrapv", "-w", "-fno-strict-aliasing", "-shared"]
    done = subprocess.run(
        [*command, *flags, "-fPIC", "-std=c++17", "-o", str(library), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(library))


class Counts(ctypes.Structure):
    """`check_counts`: what the accesses of warps cost, and what they would at least."""

    _fields_ = tuple(
        (name, ctypes.c_longlong)
        for name in (
            "shared_requests", "passes", "least_passes", "requests", "sectors", "least_sectors"
        )
    )  # fmt: skip
    passes: int
    least_passes: int
    sectors: int
    least_sectors: int


def build_checked(text: str, folder: Path, name: str) -> ctypes.CDLL:
    """The text as a library that watches every access."""
    source, made, library = (folder / f"{name}.{end}" for end in ("cpp", "o", "so"))
    source.write_text(text)
    flags = ["-O1", "-fwrapv", "-w", "-fno-strict-aliasing", "-fPIC", "-std=c++17", "-DSHIM_CHECKS"]
    watching = ["-fsanitize=thread", "-fno-tree-sra", "-fno-tree-vectorize"]
    for command in (
        ["g++", *flags, *watching, "-c", "-o", str(made), str(source)],
        ["g++", "-shared", "-o", str(library), str(made)],  # without the library of the sanitizer
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(library))


@dataclass
class ShimDevice:
    """The CPU in a card's place; each allocation is its own, with NaN around and in it."""

    library: ctypes.CDLL
    order: str = "ascending"
    seed: int = 0
    without: int = 0  # the line of a barrier to leave out
    memory: dict[int, Array] = field(default_factory=dict)
    watches: bool = False  # whether the library was made by `build_checked`

    def counts(self) -> Counts:
        """What all accesses since the last call cost."""
        found = Counts()
        self.library.check_report(ctypes.byref(found))
        return found

    def allocate(self, count: int) -> int:
        # Where sanitizers watch, what they keep free around an allocation begins where it ends.
        padded = np.full(count + (0 if SANITIZES else 512), 0xFF, np.uint8)
        address = padded.ctypes.data
        if not SANITIZES:
            address = (address + 128 + 63) // 64 * 64
        self.memory[address] = padded
        return address

    def release(self, address: int) -> None:
        del self.memory[address]

    def upload(self, address: int, array: Array) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def download(self, address: int, array: Array) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def launch(self, kernel: CudaKernel, addresses: Sequence[int]) -> None:
        values = [ctypes.c_void_p(address) for address in addresses]
        maps = [self._encoded(entry, addresses[entry.param]) for entry in kernel.tensor_maps]
        given = [*map(ctypes.addressof, values), *(packed.ctypes.data for packed in maps)]
        pointers = (ctypes.c_void_p * max(1, len(given)))(*given)
        sizes = (ctypes.c_int * 3)
        grid, block = sizes(*kernel.grid), sizes(*kernel.block)
        order = ORDERS[self.order]
        config = Config(grid, block, order, self.seed, self.without, kernel.shared_bytes)
        if self.watches:
            self.library.check_forget_buffers()
            for address, padded in self.memory.items():
                count = ctypes.c_longlong(len(padded) - 512)
                self.library.check_buffer(ctypes.c_void_p(address), count)
        start = getattr(self.library, f"run_{kernel.name}")
        start.restype = ctypes.c_char_p
        wrong = start(ctypes.byref(config), pointers)
        if wrong is not None:
            raise AssertionError(f"{kernel.name}: {wrong.decode()}")

    def _encoded(self, entry: TensorMap, address: int) -> Array:
        """What the driver would make of a tensor map: 128 bytes at a multiple of 64."""
        room = np.zeros(192, np.uint8)
        packed = room[-room.ctypes.data % 64 :][:128]
        long, short = ctypes.c_ulonglong, ctypes.c_uint
        rank = len(entry.sizes)
        refused = self.library.shim_encode(
            ctypes.c_void_p(packed.ctypes.data),
            entry.element,
            rank,
            ctypes.c_void_p(address),
            (long * rank)(*entry.sizes),
            (long * rank)(*entry.strides),
            (short * rank)(*entry.box),
            (short * rank)(*entry.steps),
            0,
            SWIZZLE_128_BYTES,
            PROMOTE_TO_256_BYTES,
            0,
        )
        assert not refused, f"the driver would not take {entry}"
        return packed
