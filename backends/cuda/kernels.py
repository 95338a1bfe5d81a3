"""Kernels in CUDA C++: loops and statements as they stand in Tile IR.

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

from ...errors import UnsupportedError, check
from ...expr import COMBINERS, INDEX, Load, Var, apply
from ...expr.nodes import Const
from ...tile.dependence import static_bounds
from ...tile.nodes import (
    Accumulate,
    Async,
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Space,
    Stmt,
    Store,
    Sync,
    Wait,
    walk,
)
from ...tile.threads import WARP
from ...tile.tree import extent_of, names_read
from .c_names import (
    buffer_type,
    element_type,
    identifier,
    identifiers,
    is_in_registers,
    registers_of_lane,
    value_type,
)
from .expressions import Expressions
from .instructions import LANE, write_call

_GRID_AXES = ("x", "y", "z")  # the innermost first
_INDENT = "    "


@dataclass(frozen=True)
class CudaKernel:
    """A kernel's source, its name there, and how it is launched."""

    name: str
    source: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    params: tuple[Buffer, ...]


def kernel_name(kernel: Kernel) -> str:
    """What a kernel is called in the source: never as a function of C's library."""
    return f"{identifier(kernel.name).rstrip('_')}_kernel"


def emit_kernel(kernel: Kernel, comment: tuple[str, ...] = ()) -> CudaKernel:
    """The source of one kernel. `UnsupportedError` where it is not of the form of a launch."""
    return _Emitter.of(kernel).emit(comment)


@dataclass(frozen=True)
class _Emitter:
    kernel: Kernel
    blocks: tuple[Loop, ...]  # outermost first
    threads: tuple[Loop, ...]
    warps: tuple[Loop, ...]  # instead of threads
    body: Block
    expressions: Expressions

    @staticmethod
    def of(kernel: Kernel) -> _Emitter:
        blocks, inside = _nest(kernel.body, Kind.BLOCK)
        warps, inside = _nest(inside, Kind.WARP)
        threads, body = _nest(inside, Kind.THREAD)
        for stmt in walk(body):
            serial = not isinstance(stmt, Loop) or stmt.kind not in (
                Kind.BLOCK, Kind.THREAD, Kind.PARALLEL, Kind.WARP,
            )  # fmt: skip
            check(serial, f"'{kernel.name}' has parallel loops within a thread", UnsupportedError)
        check(not kernel.externs, f"'{kernel.name}' calls a C function", UnsupportedError)
        for loops in (blocks, threads):
            check(len(loops) <= 3, f"'{kernel.name}' has a grid of 4 axes", UnsupportedError)
        named = [buffer.name for buffer in (*kernel.params, *kernel.locals)]
        for stmt in walk(kernel.body):
            if isinstance(stmt, (Loop, Let)):
                named.append(stmt.axis if isinstance(stmt, Loop) else stmt.name)
        names = identifiers([*named, LANE], frozenset((kernel_name(kernel),)))
        bounds = {**static_bounds(kernel.body), LANE: (0, WARP - 1)}
        return _Emitter(
            kernel,
            blocks,
            threads,
            warps,
            body,
            Expressions(kernel.buffers, names, bounds, unrolled_axes(body)),
        )

    def emit(self, comment: tuple[str, ...]) -> CudaKernel:
        grid, block = _sizes(self.blocks), _sizes(self.threads)
        if self._has_lanes:
            block = (prod(map(extent_of, self.warps)) * WARP, 1, 1)
        outputs = self.kernel.outputs
        params = ", ".join(
            f"{'' if param.name in outputs else 'const '}{element_type(param.dtype)}* "
            f"{self.name(param.name)}"
            for param in self.kernel.params
        )
        shapes = ", ".join(
            f"{self.name(param.name)} {param.dtype}{list(param.memory_shape)}"
            for param in self.kernel.params
        )
        name = kernel_name(self.kernel)
        lines = [
            *(f"// {line}" for line in comment),
            f"// {shapes}",
            f"// {prod(grid)} blocks of {prod(block)} threads",
            f'extern "C" __global__ void __launch_bounds__({prod(block)})',
            f"{name}({params})",
            "{",
            *(f"{_INDENT}{line}" for line in self._inside()),
            "}",
        ]
        return CudaKernel(name, "\n".join(lines), grid, block, self.kernel.params)

    @property
    def _has_lanes(self) -> bool:
        """Whether warps are written, with what each of their lanes does in loops."""
        return any(isinstance(stmt, Loop) and stmt.kind is Kind.LANE for stmt in walk(self.body))

    def name(self, name: str) -> str:
        return self.expressions.names[name]

    def _inside(self) -> Iterator[str]:
        used = names_read(self.body)
        for local in self.kernel.locals:
            yield self._declared(local)
        for loops, builtin in ((self.blocks, "blockIdx"), (self.threads, "threadIdx")):
            for axis, loop in zip(_GRID_AXES, reversed(loops), strict=False):
                if loop.axis in used:
                    yield f"const int {self.name(loop.axis)} = {builtin}.{axis};"
        if self._has_lanes:
            yield f"const int {self.name(LANE)} = threadIdx.x % {WARP};"
        for loop in self.warps:
            yield f"const int {self.name(loop.axis)} = threadIdx.x / {WARP};"
        yield from self._block(self.body)

    def _declared(self, local: Buffer) -> str:
        space = "__shared__ __align__(16) " if local.space is Space.SHARED else ""
        fragment = local.space is Space.FRAGMENT
        count = registers_of_lane(local) if fragment else max(1, local.elements)
        extent = "" if count == 1 and is_in_registers(local) else f"[{count}]"
        return f"{space}{buffer_type(local)} {self.name(local.name)}{extent};"

    # Statements

    def _block(self, block: Block) -> Iterator[str]:
        for stmt in block:
            yield from self._statement(stmt)

    def _statement(self, stmt: Stmt) -> Iterator[str]:
        write = self.expressions
        match stmt:
            case Store(target=target, value=value):
                place = write.place(target.buffer, target.indices)
                yield f"{place} = {write.stored(value, self.kernel.buffers[target.buffer])};"
            case Let(name=name, value=value):
                kind = write.index_type(value) if value.dtype == INDEX else value_type(value.dtype)
                yield f"const {kind} {self.name(name)} = {write(value)};"
            case Accumulate():
                yield from self._accumulate(stmt)
            case Loop():
                yield from self._loop(stmt)
            case If():
                yield from self._if(stmt)
            case Call():
                yield write_call(stmt, write)
            case Async(body=body):
                yield from self._block(body)
                yield "cp_async_commit();"
            case Wait(pending=pending):
                yield f"cp_async_wait<{pending}>();"
            case Sync(scope=scope):
                yield "__syncthreads();" if scope == "block" else "__syncwarp();"
            case _:
                raise UnsupportedError(f"the CUDA backend has no {type(stmt).__name__} yet")

    def _loop(self, loop: Loop) -> Iterator[str]:
        write, name = self.expressions, self.name(loop.axis)
        if loop.kind is Kind.LANE:
            body = list(self._block(loop.body))
            yield "{"
            # A lane's own part of a fragment is reached without its number.
            if any(re.search(rf"\b{name}\b", line) for line in body):
                yield f"{_INDENT}const int {name} = {self.name(LANE)};"
            yield from _indented(iter(body))
            yield "}"
            return
        kind = write.index_type(Var(INDEX, loop.axis))
        if loop.kind in (Kind.UNROLL, Kind.VECTOR):
            yield "#pragma unroll"
        elif loop.kind is Kind.ROLLED:
            yield "#pragma unroll 1"
        stop = write.text(loop.stop).within(5)
        yield f"for ({kind} {name} = {write(loop.start)}; {name} < {stop}; ++{name}) {{"
        yield from _indented(self._block(loop.body))
        yield "}"

    def _if(self, stmt: If) -> Iterator[str]:
        yield f"if ({self.expressions(stmt.condition)}) {{"
        yield from _indented(self._block(stmt.then))
        if stmt.otherwise:
            yield "} else {"
            yield from _indented(self._block(stmt.otherwise))
        yield "}"

    def _accumulate(self, stmt: Accumulate) -> Iterator[str]:
        write, buffers = self.expressions, self.kernel.buffers
        combiner = COMBINERS[stmt.combiner]
        places = [write.place(target.buffer, target.indices) for target in stmt.targets]
        if not combiner.function:
            kinds = ", ".join(value_type(value.dtype) for value in stmt.values)
            values = ", ".join(map(write, stmt.values))
            yield f"join_{stmt.combiner}<{kinds}>({', '.join(places)}, {values});"
            return
        (target,), (value,), (place,) = stmt.targets, stmt.values, places
        if combiner.function in ("add", "mul") and value.dtype.name in ("f32", "f64"):
            yield f"{place} {'+' if combiner.function == 'add' else '*'}= {write(value)};"
            return
        joined = apply(combiner.function, Load(value.dtype, target.buffer, target.indices), value)
        yield f"{place} = {write.stored(joined, buffers[target.buffer])};"


def unrolled_axes(body: Block) -> frozenset[str]:
    """The axes of loops that are written out."""
    return frozenset(
        stmt.axis
        for stmt in walk(body)
        if isinstance(stmt, Loop) and stmt.kind in (Kind.UNROLL, Kind.VECTOR)
    )


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


def _sizes(loops: tuple[Loop, ...]) -> tuple[int, int, int]:
    sizes = [extent_of(loop) for loop in reversed(loops)]
    x, y, z = (*sizes, 1, 1, 1)[:3]
    return x, y, z


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"{_INDENT}{line}"
