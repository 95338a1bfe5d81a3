"""What threads move at once and lanes exchange: the card's wrappers against the loops that
instructions mean, and the machine code that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import CDLL
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlir_lite.backends.cuda.code.nvrtc import compile_source
from mlir_lite.backends.cuda.code.sass import counts, listings, sass_text
from mlir_lite.backends.cuda.source.functions import FUNCTIONS
from mlir_lite.backends.cuda.source.kernels import emit_kernel, kernel_name
from mlir_lite.backends.cuda.source.wrappers import WRAPPERS, needed
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import DTYPES, Array

from ..shim import ShimDevice, build, needs_shim, unit_text

ORDERS = ("ascending", "descending", "shuffled")


def exchange(dtype: str, step: int) -> Kernel:
    return parse_kernel(f"""
        kernel @exchange_{dtype}(%x: {dtype}[64], %y: out {dtype}[64]) {{
          buffer own: fragment {dtype}[32, 1]
          buffer other: fragment {dtype}[32, 1]
          block b in 0..1 {{
            warp w in 0..2 {{
              lane l in 0..32 {{
                own[l, 0] = x[w * 32 + l]
              }}
              call @shuffle_{dtype}(other[0, 0], own[0, 0]; {step})
              lane m in 0..32 {{
                y[w * 32 + m] = other[m, 0]
              }}
            }}
          }}
        }}""")


def runs(width: int) -> Kernel:
    """Fragments of two warps, side by side, as runs of neighbours; results beside the arguments."""
    count = width // 2
    return parse_kernel(f"""
        kernel @runs_{width}(%x: f32[2, {count}, 16, 8], %y: out f32[2, {count}, 16, 8]) {{
          buffer own: fragment f32[{count}, 32, 4]
          buffer runs: fragment f32[2, 32, {width}]
          block b in 0..1 {{
            warp w in 0..2 {{
              lane l in 0..32 {{
                unroll i in 0..{count} {{
                  unroll half in 0..2 {{
                    unroll p in 0..2 {{
                      own[i, l, half * 2 + p] = x[w, i, half * 8 + l floordiv 4, l mod 4 * 2 + p]
                    }}
                  }}
                }}
              }}
              call @quad_runs_{width}(runs[0, 0, 0], own[0, 0, 0])
              lane m in 0..32 {{
                unroll h in 0..2 {{
                  unroll e in 0..{width} {{
                    y[w, m mod {count}, h * 8 + m floordiv 4, \
m floordiv {count} mod {4 // count} * {width} + e] = runs[h, m, e]
                  }}
                }}
              }}
            }}
          }}
        }}""")


def moved(dtype: str, width: int, fragment: bool) -> Kernel:
    """Neighbours through a thread's registers, or through those of a lane."""
    array = f"align(16) {dtype}[{64 * width}]"
    name = f"{'lane' if fragment else 'thread'}_{dtype}x{width}"
    if not fragment:
        return parse_kernel(f"""
            kernel @{name}(%x: {array}, %y: out {array}) {{
              buffer r: register {dtype}[{width}]
              block b in 0..1 {{
                thread t in 0..64 {{
                  call @load_{dtype}x{width}(r[0], x[t * {width}])
                  call @store_{dtype}x{width}(y[t * {width}], r[0])
                }}
              }}
            }}""")
    return parse_kernel(f"""
        kernel @{name}(%x: {array}, %y: out {array}) {{
          buffer r: fragment {dtype}[2, 32, {width}]
          buffer s: register {dtype}[{width}]
          block b in 0..1 {{
            warp w in 0..1 {{
              lane l in 0..32 {{
                unroll i in 0..2 {{
                  call @load_{dtype}x{width}(r[i, l, 0], x[i * {32 * width} + l * {width}])
                }}
              }}
              lane m in 0..32 {{
                unroll j in 0..2 {{
                  unroll e in 0..{width} {{
                    s[e] = r[j, m, e]
                  }}
                  call @store_{dtype}x{width}(y[j * {32 * width} + m * {width}], s[0])
                }}
              }}
            }}
          }}
        }}""")


def given(kernel: Kernel) -> Array:
    random = np.random.default_rng(0)
    x = kernel.buffers["x"]
    if x.dtype.kind == "b":
        return random.integers(0, 2, x.shape).astype(np.bool_)
    return (random.standard_normal(x.shape) * 50).astype(x.dtype.numpy)


def run(kernel: Kernel, library: CDLL, *, offset: int = 0) -> Array:
    """What the source gives on the CPU, the same in all orders; `offset` moves the arrays."""
    x, made = given(kernel), emit_kernel(kernel)
    results = []
    for order in ORDERS:
        device = ShimDevice(library, order)
        places = [device.allocate(x.nbytes + 16) + offset for _ in range(2)]
        device.upload(places[0], x)
        device.launch(made, places)
        results.append(np.empty_like(x))
        device.download(places[1], results[-1])
    assert all(result.tobytes() == results[0].tobytes() for result in results)
    return results[0]


def run_changed(kernel: Kernel, folder: Path, old: str, new: str) -> Array:
    """As `run`, of a source with something wrong in it."""
    made = emit_kernel(kernel)
    assert old in made.source
    text = unit_text([replace(made, source=made.source.replace(old, new))])
    return run(kernel, build(text, folder, kernel.name))


def source_of(kernels: Sequence[Kernel]) -> str:
    text = "\n\n".join(emit_kernel(kernel).source for kernel in kernels)
    wrappers, functions = needed(text)
    own = (*(WRAPPERS[name] for name in wrappers), *(FUNCTIONS[name] for name in functions))
    return "\n\n".join((*own, text))


TYPES = ("f64", "f32", "bf16", "f16", "i64", "i8", "bool")
EXCHANGES = tuple(exchange(dtype, 5) for dtype in TYPES)
MOVES = tuple(
    moved(dtype, size // DTYPES[dtype].bytes, fragment)
    for dtype in TYPES
    for fragment in (False, True)
    for size in {"bf16": (4, 8, 16), "bool": (2, 4, 16)}.get(dtype, (16,))
)
RUNS = (runs(4), runs(8))
each_move = pytest.mark.parametrize("kernel", MOVES, ids=lambda kernel: kernel.name)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CDLL:
    """The source of all kernels, on the CPU."""
    kernels = [emit_kernel(kernel) for kernel in (*EXCHANGES, *RUNS, *MOVES)]
    return build(unit_text(kernels), tmp_path_factory.mktemp("kernels"), "kernels")


@needs_shim
@pytest.mark.parametrize("kernel", RUNS, ids=lambda kernel: kernel.name)
def test_quads_exchange_sums_for_runs_of_neighbours(kernel: Kernel, library: CDLL) -> None:
    verify_kernel(kernel, strict=True)
    x = given(kernel)
    np.testing.assert_array_equal(run_kernel(kernel, {"x": x})["y"], x)
    np.testing.assert_array_equal(run(kernel, library), x)


@needs_shim
@pytest.mark.parametrize("kernel", EXCHANGES, ids=lambda kernel: kernel.name)
def test_lanes_exchange(kernel: Kernel, library: CDLL) -> None:
    verify_kernel(kernel, strict=True)
    x = given(kernel)
    wanted = x.reshape(2, 32)[:, np.arange(32) ^ 5].reshape(64)
    np.testing.assert_array_equal(run_kernel(kernel, {"x": x})["y"], wanted)
    np.testing.assert_array_equal(run(kernel, library), wanted)


@needs_shim
@pytest.mark.parametrize("mask", ["0xffffu", "0xfffffffeu", "1u << lane"])
def test_a_shuffle_from_outside_its_mask_is_reported(mask: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="shuffles with a lane outside of its mask"):
        run_changed(exchange("f32", 16), tmp_path, "0xffffffffu", mask)


@needs_shim
def test_a_shuffle_that_some_lanes_miss_is_reported(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="wait at a barrier that the others do not come to"):
        missing = "float other; if (lane < 20) other = "
        run_changed(exchange("f32", 16), tmp_path, "float other = ", missing)


@needs_shim
@each_move
def test_neighbours_move_at_once(kernel: Kernel, library: CDLL) -> None:
    verify_kernel(kernel, strict=True)
    x = given(kernel)
    np.testing.assert_array_equal(run_kernel(kernel, {"x": x})["y"], x)
    np.testing.assert_array_equal(run(kernel, library), x)


@needs_shim
def test_a_wide_access_between_its_multiples_is_reported(library: CDLL) -> None:
    with pytest.raises(AssertionError, match="moves 16 bytes where it may not begin"):
        run(moved("f32", 4, False), library, offset=4)


@pytest.mark.usefixtures("disassembler")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a", "sm_100"])
def test_the_card_has_one_instruction_for_each(architecture: str) -> None:
    every = (exchange("f32", 16), moved("f32", 4, False), moved("bf16", 8, True))
    binary = compile_source(source_of(every), architecture, strict=True)
    found = listings(sass_text(binary))
    shuffle, thread, lane = (counts(found[kernel_name(kernel)].code) for kernel in every)
    assert shuffle["SHFL"] == 1
    assert [thread[name] for name in ("LDG", "LDG.128", "STG", "STG.128")] == [0, 1, 0, 1]
    assert [lane[name] for name in ("LDG", "LDG.128", "STG", "STG.128")] == [0, 2, 0, 2]
