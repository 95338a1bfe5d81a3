"""A schedule of your own: steps on Tile IR, each proved right by the interpreter.

    python examples/06_own_schedule.py
"""

import numpy as np

from mlir_lite import f32
from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel, Kind
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.program import CallStep, Program, Role, Slot, View
from mlir_lite.tile.steps.loops import mark, reorder, split
from mlir_lite.tile.steps.sink import sink

NAIVE = """
kernel @matmul(%x: f32[64, 96], %w: f32[96, 32], %y: out f32[64, 32]) {
  buffer acc: register f32[]
  for m in 0..64 {
    for n in 0..32 {
      acc[] = 0.0
      for k in 0..96 {
        acc[] += x[m, k] * w[k, n]
      }
      y[m, n] = acc[]
    }
  }
}
"""


def schedule(kernel: Kernel) -> Kernel:
    """A tile of 4 rows by 16 columns in registers, the columns in vectors, rows on threads."""
    kernel = split(kernel, "m", 4)
    kernel = split(kernel, "n", 16)
    kernel = reorder(kernel, ["m.o", "n.o", "m.i", "n.i"])
    kernel = mark(kernel, "m.i", Kind.UNROLL)
    kernel = mark(kernel, "n.i", Kind.VECTOR)
    kernel = sink(kernel, ("m.i", "n.i"))
    return mark(kernel, "m.o", Kind.PARALLEL)


def program_of(kernel: Kernel) -> Program:
    """A program that calls this one kernel."""
    x = Slot("x", f32[64, 96], Role.PARAMETER)
    w = Slot("w", f32[96, 32], Role.PARAMETER)
    y = Slot("y", f32[64, 32], Role.RESULT)
    call = CallStep(kernel.name, (View("x"), View("w"), View("y")))
    return Program(kernel.name, (kernel,), (x, w, y), (call,), ("x", "w"), ("y",))


def main() -> None:
    naive = parse_kernel(NAIVE)
    tiled = schedule(naive)
    print(tiled)

    random = np.random.default_rng(0)
    arrays = {
        "x": random.standard_normal((64, 96), dtype=np.float32),
        "w": random.standard_normal((96, 32), dtype=np.float32),
    }
    before, after = run_kernel(naive, arrays)["y"], run_kernel(tiled, arrays)["y"]
    print(f"interpreted alike: {np.allclose(before, after, rtol=1e-4, atol=1e-4)}")

    executable = CpuBackend(*cpu_target("cpu")).compile(program_of(tiled), {})
    y = executable(arrays["x"], arrays["w"])
    print(f"as machine code: {np.allclose(y, before, rtol=1e-4, atol=1e-4)}")


if __name__ == "__main__":
    main()
