"""Kernels in CUDA C++: what they are given, what is theirs, and how they are launched.

    block b in 0..3: thread t in 0..256: {let i = b * 256 + t;  if i < 640: y[i] = max(x[i], 0)}
      ->  const int i = blockIdx.x * 256 + threadIdx.x;
          if (i < 640) {
              y[i] = larger(x[i], 0.0f);
          }
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ....errors import UnsupportedError, check
from ....expr.nodes import Const
from ....tile.analyses.dependence import static_bounds
from ....tile.instructions.warpgroups import SHARING_OUT, THREADS
from ....tile.nodes import Block, Buffer, Call, Kernel, Kind, Loop
from ....tile.threads import WARP
from ....tile.traverse import walk
from ....tile.tree import extent_of, names_read
from .asynchronous import groups_of
from .c_names import (
    buffer_type,
    element_type,
    free_identifier,
    identifier,
    identifiers,
    is_in_registers,
    scoped_identifiers,
)
from .expressions import Expressions
from .instructions import EVERY_LANE, LANE
from .moves import Moves
from .shared_memory import SHARED_BYTES, SharedMemory
from .statements import INDENT, Statements, moving_names, unrolled_axes
from .tensor_maps import TensorMap, maps_of

_GRID_AXES = ("x", "y", "z")  # the innermost first
MOST_BLOCKS = (2**31 - 1, 65535, 65535)  # along them


@dataclass(frozen=True)
class CudaKernel:
    """A kernel's source, its name there, and how it is launched: the shared memory that it asks
    for, and the tensor maps that it takes after the addresses of its parameters."""

    name: str
    source: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    params: tuple[Buffer, ...]
    shared_bytes: int = 0
    tensor_maps: tuple[TensorMap, ...] = ()


def kernel_name(kernel: Kernel) -> str:
    """What a kernel is called in the source: never as a function of C's library."""
    return f"{identifier(kernel.name).rstrip('_')}_kernel"


def emit_kernel(
    kernel: Kernel,
    comment: tuple[str, ...] = (),
    shared_bytes: int = SHARED_BYTES,
    *,
    apart: bool = False,
) -> CudaKernel:
    """The source of one kernel, for multiprocessors with so much shared memory; what it writes is
    `apart` where no other parameter ever is in the same memory. `UnsupportedError` where it is not
    of the form of a launch."""
    return _Emitter.of(kernel).emit(comment, shared_bytes, " __restrict__" if apart else "")


@dataclass(frozen=True)
class _Emitter:
    kernel: Kernel
    blocks: tuple[Loop, ...]  # outermost first
    threads: tuple[Loop, ...]
    warps: tuple[Loop, ...]  # or warpgroups, instead of threads
    body: Block
    statements: Statements
    shared: SharedMemory

    @staticmethod
    def of(kernel: Kernel) -> _Emitter:
        blocks, inside = _nest(kernel.body, Kind.BLOCK)
        warps, inside = _nest(inside, Kind.WARPGROUP)
        if not warps:
            warps, inside = _nest(inside, Kind.WARP)
        threads, body = _nest(inside, Kind.THREAD)
        for stmt in walk(body):
            serial = not isinstance(stmt, Loop) or stmt.kind not in (
                Kind.BLOCK, Kind.THREAD, Kind.PARALLEL, Kind.WARP, Kind.WARPGROUP,
            )  # fmt: skip
            check(serial, f"'{kernel.name}' has parallel loops within a thread", UnsupportedError)
        check(not kernel.externs, f"'{kernel.name}' calls a C function", UnsupportedError)
        for loops in (blocks, threads):
            check(len(loops) <= 3, f"'{kernel.name}' has a grid of 4 axes", UnsupportedError)
        maps = maps_of(kernel.body, kernel.params)
        labels = [f"{kernel.params[entry.param].name}_{entry.name}" for entry in maps]
        buffers = [buffer.name for buffer in (*kernel.params, *kernel.locals)]
        names = identifiers((*buffers, *labels), (kernel_name(kernel),))
        # Each thread is one lane, in all loops over them.
        lane = free_identifier("lane", (*names.values(), kernel_name(kernel)))
        lanes = [
            stmt.axis
            for stmt in walk(kernel.body)
            if isinstance(stmt, Loop) and stmt.kind is Kind.LANE
        ]
        names |= dict.fromkeys((LANE, *lanes), lane)
        names |= scoped_identifiers(kernel.body, (*names.values(), kernel_name(kernel)))
        bounds = {**static_bounds(kernel.body), LANE: (0, _together(warps) - 1)}
        statements = Statements(
            kernel,
            Expressions(
                kernel.buffers, names, bounds,
                unrolled_axes(body), moving_names(kernel.body), Moves.of(kernel),
            ),
            groups_of(kernel),
            {entry: names[label] for entry, label in zip(maps, labels, strict=True)},
        )
        return _Emitter(
            kernel, blocks, threads, warps, body, statements, SharedMemory.of(kernel)
        )

    def emit(self, comment: tuple[str, ...], shared_bytes: int, restrict: str) -> CudaKernel:
        grid, block = _sizes(self.blocks), _sizes(self.threads)
        for axis, count, most in zip(_GRID_AXES, grid, MOST_BLOCKS, strict=True):
            words = f"'{self.kernel.name}' has {count} blocks along {axis}; cards take {most}"
            check(count <= most, words, UnsupportedError)
        if self._has_lanes:
            block = (prod(map(extent_of, self.warps)) * _together(self.warps), 1, 1)
        outputs = self.kernel.outputs
        params = ", ".join(
            f"{'' if param.name in outputs else 'const '}{element_type(param.dtype)}*{restrict} "
            f"{self.name(param.name)}"
            for param in self.kernel.params
        )
        params += "".join(
            f", const __grid_constant__ TensorMap {name}" for name in self.statements.maps.values()
        )
        shapes = ", ".join(
            f"{self.name(param.name)} {param.dtype}{list(param.memory_shape)}"
            for param in self.kernel.params
        )
        name = kernel_name(self.kernel)
        limits = f"{prod(block)}{self._blocks_with_room(shared_bytes)}"
        lines = [
            *(f"// {line}" for line in comment),
            f"// {shapes}",
            f"// {_counted(prod(grid), 'block')} of {_counted(prod(block), 'thread')}",
            f'extern "C" __global__ void __launch_bounds__({limits})',
            f"{name}({params})",
            "{",
            *(f"{INDENT}{line}" for line in self._inside()),
            "}",
        ]
        return CudaKernel(
            name,
            "\n".join(lines),
            grid,
            block,
            self.kernel.params,
            self.shared.asked_bytes,
            tuple(self.statements.maps),
        )

    def _blocks_with_room(self, shared_bytes: int) -> str:
        """That there will be two blocks, where shared memory has no room for a third: the compiler
        would spill registers for that. Warpgroups that share registers out have all there are."""
        asked = self.shared.asked_bytes
        calls = (stmt.callee for stmt in walk(self.body) if isinstance(stmt, Call))
        if any(name in SHARING_OUT for name in calls):
            return ""
        return ", 2" if asked and shared_bytes // asked == 2 else ""

    @property
    def _has_lanes(self) -> bool:
        """Whether warps are written, with what each of their lanes does in loops."""
        return any(isinstance(stmt, Loop) and stmt.kind is Kind.LANE for stmt in walk(self.body))

    def name(self, name: str) -> str:
        return self.statements.expressions.names[name]

    def _inside(self) -> Iterator[str]:
        used = names_read(self.body)
        registers = [local for local in self.kernel.locals if is_in_registers(local)]
        for local in self.kernel.locals:
            if local not in registers:
                yield self._declared(local)
        for loops, builtin in ((self.blocks, "blockIdx"), (self.threads, "threadIdx")):
            for axis, loop in zip(_GRID_AXES, reversed(loops), strict=False):
                if loop.axis in used:
                    yield f"const int {self.name(loop.axis)} = {builtin}.{axis};"
        lines = list(self.statements.block(self.body, registers))
        together = _together(self.warps)
        numbers = {LANE: f"threadIdx.x % {together}"} if self._has_lanes else {}
        numbers |= {loop.axis: self._number(f"threadIdx.x / {together}") for loop in self.warps}
        for axis, number in numbers.items():
            name = self.name(axis)
            if any(re.search(rf"\b{name}\b", line) for line in lines):
                yield f"const int {name} = {number};"
        yield from lines

    def _number(self, own: str) -> str:
        """That of a warp. That of a warpgroup is written so that a compiler knows it to be the same
        in all lanes: what a warp says of matrices is in registers that its lanes share."""
        is_group = _together(self.warps) == THREADS
        return f"__shfl_sync({EVERY_LANE}, {own}, 0)" if is_group else own

    def _declared(self, local: Buffer) -> str:
        kind, name = buffer_type(local), self.name(local.name)
        if local.name in self.shared.places:
            place = self.shared.places[local.name]
            moved = f"(asked_shared_memory() + {place})" if place else "asked_shared_memory()"
            return f"{kind}* const {name} = ({kind}*){moved};"
        return f"__shared__ __align__(16) {kind} {name}[{max(1, local.elements)}];"


def _nest(body: Block, kind: Kind) -> tuple[tuple[Loop, ...], Block]:
    """The perfectly nested loops of a kind at the top, and what is in them."""
    loops: list[Loop] = []
    while True:
        match body:
            case (Loop(start=Const(value=0), stop=Const()) as loop,) if loop.kind is kind:
                loops.append(loop)
                body = loop.body
            case _:
                return tuple(loops), body


def _together(warps: tuple[Loop, ...]) -> int:
    """The threads whose lanes are counted: of a warp, or of a warpgroup."""
    is_group = any(loop.kind is Kind.WARPGROUP for loop in warps)
    return THREADS if is_group else WARP


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sizes(loops: tuple[Loop, ...]) -> tuple[int, int, int]:
    sizes = [extent_of(loop) for loop in reversed(loops)]
    x, y, z = (*sizes, 1, 1, 1)[:3]
    return x, y, z
