"""What this machine can do at most: arithmetic and bandwidths, measured by kernels of Tile IR.

The kernels are compiled as every other, so a figure is also a check of the backend. All together
take some tenths of a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from ...memory import aligned_bytes
from ...target import Target
from ...tile.instructions.table import INSTRUCTIONS
from ...tile.parser import parse_program
from ...tile.program import Memory
from ...types import Array, f32
from .backend import CpuBackend

_REPEATS = 15  # the best of them counts: a ceiling is what disturbances keep one from
_SETTLING = 0.05  # seconds in which a system moves new threads apart
_STEPS = 400_000  # of the loop of multiply-adds: some milliseconds
_READ_BYTES = 64 << 20  # in one call on a cache, by each thread
_MEMORY_SHARE = 4  # an array so many times as large as the last cache is read from memory
_ACCUMULATORS = 8  # sums side by side hide the latency of one addition

_MULTIPLY_ADDS = """
program @multiply_adds(%x) -> (%y) {{
  parameter %x: tensor<2x{lanes}xf32>
  result %y: tensor<{threads}x{count}x{lanes}xf32>
  kernel @multiply_adds(%x: f32[2, {lanes}], %y: out f32[{threads}, {count}, {lanes}]) {{
    buffer factors: register f32[2, {lanes}]
    buffer acc: register f32[{count}, {lanes}]
    parallel t in 0..{threads} {{
      unroll f in 0..2 {{ vector l in 0..{lanes} {{ factors[f, l] = x[f, l] }} }}
      unroll i in 0..{count} {{ vector l.1 in 0..{lanes} {{ acc[i, l.1] = 0.0 }} }}
      for k in 0..{steps} {{
        unroll i.2 in 0..{count} {{
          vector l.2 in 0..{lanes} {{ acc[i.2, l.2] += factors[0, l.2] * factors[1, l.2] }}
        }}
      }}
      unroll i.3 in 0..{count} {{ vector l.3 in 0..{lanes} {{ y[t, i.3, l.3] = acc[i.3, l.3] }} }}
    }}
  }}
  call @multiply_adds(%x, %y)
}}
"""
# Of narrow elements, `depth` products to a lane; operations count as those of f32 do.
_DOTS = """
program @dots(%a, %b) -> (%y) {{
  parameter %a: tensor<{depth}x{left}>
  parameter %b: tensor<{lanes}x{depth}x{right}>
  result %y: tensor<{threads}x{count}x{lanes}x{total}>
  kernel @dots(%a: {left}[{depth}], %b: {right}[{lanes}, {depth}],
               %y: out {total}[{threads}, {count}, {lanes}]) {{
    buffer acc: register {total}[{count}, {lanes}]
    parallel t in 0..{threads} {{
      unroll i in 0..{count} {{ vector l in 0..{lanes} {{ acc[i, l] = {zero} }} }}
      for k in 0..{steps} {{
        unroll i.2 in 0..{count} {{ call @{instruction}(acc[i.2, 0], a[0], b[0, 0]) }}
      }}
      unroll i.3 in 0..{count} {{ vector l.3 in 0..{lanes} {{ y[t, i.3, l.3] = acc[i.3, l.3] }} }}
    }}
  }}
  call @dots(%a, %b, %y)
}}
"""
_READS = """
program @reads(%x) -> (%y) {{
  parameter %x: tensor<{threads}x{streams}x{rows}x{count}x{lanes}xf32>
  result %y: tensor<{threads}x{count}x{lanes}xf32>
  kernel @reads(%x: f32[{threads}, {streams}, {rows}, {count}, {lanes}],
                %y: out f32[{threads}, {count}, {lanes}]) {{
    buffer acc: register f32[{count}, {lanes}]
    parallel t in 0..{threads} {{
      unroll i in 0..{count} {{ vector l in 0..{lanes} {{ acc[i, l] = 0.0 }} }}
      for again in 0..{times} {{
        for k in 0..{rows} {{
          unroll s in 0..{streams} {{ unroll i.2 in 0..{count} {{
            vector l.2 in 0..{lanes} {{ acc[i.2, l.2] += x[t, s, k, i.2, l.2] }}
          }} }}
        }}
      }}
      unroll i.3 in 0..{count} {{ vector l.3 in 0..{lanes} {{ y[t, i.3, l.3] = acc[i.3, l.3] }} }}
    }}
  }}
  call @reads(%x, %y)
}}
"""
_COPY = """
program @copy(%x) -> (%y) {{
  parameter %x: tensor<{threads}x{rows}x{count}x{lanes}xf32>
  result %y: tensor<{threads}x{rows}x{count}x{lanes}xf32>
  kernel @copy(%x: f32[{threads}, {rows}, {count}, {lanes}],
               %y: out f32[{threads}, {rows}, {count}, {lanes}]) {{
    parallel t in 0..{threads} {{
      for k in 0..{rows} {{
        unroll i in 0..{count} {{ vector l in 0..{lanes} {{ y[t, k, i, l] = x[t, k, i, l] }} }}
      }}
    }}
  }}
  call @copy(%x, %y)
}}
"""


@dataclass(frozen=True)
class Ceilings:
    """The most that `threads` threads together reach: f32 operations and bytes a second. Reads are
    the faster of those at one place and at several; `copy` counts bytes read and bytes written;
    `l2_bytes` is of all their second caches; `dots` are the operations of products of narrow
    elements, by the instruction that does them."""

    threads: int
    flops: float
    l2_read: float
    l3_read: float
    memory_read: float
    memory_copy: float
    l2_bytes: int
    l3_bytes: int
    dots: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, operations: int, narrow: Mapping[str, int]) -> float:
        """What so many operations take at best; `narrow` are those among them that instructions of
        narrow products do, which count as those of f32 where they are not measured."""
        others = operations - sum(narrow.values())
        return others / self.flops + sum(
            count / self.dots.get(name, self.flops) for name, count in narrow.items()
        )

    @property
    def memory(self) -> float:
        """Bytes a second from and to memory, in the better mix of both."""
        return max(self.memory_read, self.memory_copy)

    def bandwidth(self, size: int) -> tuple[str, float]:
        """The nearest place that can hold so many bytes, and its bytes a second."""
        if size <= self.l2_bytes:
            return "L2", self.l2_read
        return ("L3", self.l3_read) if size <= self.l3_bytes else ("memory", self.memory)


def measure_ceilings(backend: CpuBackend, threads: int) -> Ceilings:
    """Measure with so many threads, on the machine that the backend compiles for."""
    target = backend.target
    bench = _Bench(backend, threads, target.lanes(f32))
    large = _MEMORY_SHARE * target.l3_bytes
    dots = sorted(target.dot_instructions)
    x = aligned_bytes(large).view(np.float32)
    x.fill(1.0)
    return Ceilings(
        threads,
        bench.flops(_accumulators(target)),
        bench.read(x, target.l2_bytes // 2),
        bench.read(x, target.l3_bytes // 4 // threads),
        bench.read(x, large // threads),
        bench.copy(x, large // 2 // threads),
        target.l2_bytes * threads,
        target.l3_bytes,
        {name: bench.dots(name, _accumulators(target)) for name in dots},
    )


def _accumulators(target: Target) -> int:
    """Chains of multiply-adds: more than the latency needs, few enough for registers."""
    return target.vector_registers * 3 // 4


@dataclass(frozen=True)
class _Bench:
    """Compiles the kernels for so many threads and vectors of so many `lanes`, and times them."""

    backend: CpuBackend
    threads: int
    lanes: int

    def flops(self, accumulators: int) -> float:
        """Operations a second of independent multiply-adds in registers."""
        run = self._program(_MULTIPLY_ADDS, count=accumulators, steps=_STEPS)
        x = np.full((2, self.lanes), 0.5, np.float32)
        operations = 2 * self.threads * accumulators * self.lanes * _STEPS
        return operations / _best(lambda: run(x))

    def dots(self, name: str, accumulators: int) -> float:
        """Operations a second of independent dot products in registers."""
        total, left, right = (param.dtype for param in INSTRUCTIONS[name].params)
        depth = total.bytes // left.bytes
        run = self._program(
            _DOTS, instruction=name, count=accumulators, steps=_STEPS, depth=depth,
            total=total, left=left, right=right, zero=0.0 if total.is_float else 0,
        )  # fmt: skip
        a, b = np.zeros(depth, left.numpy), np.zeros((self.lanes, depth), right.numpy)
        operations = 2 * self.threads * accumulators * self.lanes * depth * _STEPS
        return operations / _best(lambda: run(a, b))

    def read(self, x: Array, size: int) -> float:
        """Bytes a second read from an array of `size` bytes for each thread, over and over: all
        from one end to the other, or at several places at once."""
        counts = 1, self.backend.target.read_streams
        return max(self._read(x, size, streams) for streams in counts)

    def _read(self, x: Array, size: int, streams: int) -> float:
        rows = self._rows(size // streams)
        shape = (self.threads, streams, rows, _ACCUMULATORS, self.lanes)
        once = prod(shape) * x.itemsize
        times = max(1, _READ_BYTES * self.threads // once)
        run = self._program(_READS, streams=streams, count=_ACCUMULATORS, rows=rows, times=times)
        part = x[: once // x.itemsize].reshape(shape)
        return once * times / _best(lambda: run(part))

    def copy(self, x: Array, size: int) -> float:
        """Bytes a second read and written, of `size` bytes for each thread from one half of `x`
        to the other."""
        rows = self._rows(size)
        shape = (self.threads, rows, _ACCUMULATORS, self.lanes)
        count = prod(shape)
        run = self._program(_COPY, count=_ACCUMULATORS, rows=rows)
        source, target = x[:count].reshape(shape), x[count : 2 * count].reshape(shape)
        return 2 * source.nbytes / _best(lambda: run(source, out=target))

    def _rows(self, size: int) -> int:
        return max(1, size // (_ACCUMULATORS * self.lanes * f32.bytes))

    def _program(self, text: str, **sizes: object) -> Callable[..., object]:
        program = parse_program(text.format(threads=self.threads, lanes=self.lanes, **sizes))
        planned = replace(program, memory=Memory(0, 0))  # there is nothing to plan
        return self.backend.compile(planned, {}, threads=self.threads)


def _best(call: Callable[[], object]) -> float:
    """The seconds of the fastest call, once each thread has a processor of its own."""
    settled = time.perf_counter() + _SETTLING
    while time.perf_counter() < settled:
        call()
    found = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)
