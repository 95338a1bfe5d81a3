"""Kernels in CUDA C++: loops and statements as they stand in Tile IR.

    block b in 0..3: thread t in 0..256: {let i = b * 256 + t;  if i < 640: y[i] = max(x[i], 0)}
      ->  const int i = blockIdx.x * 256 + threadIdx.x;
          if (i < 640) {
              y[i] = larger(x[i], 0.0f);
          }
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from ...errors import UnsupportedError, check
from ...expr import COMBINERS, INDEX, Load, Var, apply
from ...expr.nodes import Const
from ...tile.dependence import static_bounds
from ...tile.nodes import (
    Accumulate,
    Async,
    Await,
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
from ...tile.warpgroups import THREADS
from .asynchronous import (
    Groups,
    Work,
    box_bytes,
    boxes_of,
    groups_of,
    work_of,
    write_begun,
    write_wait,
)
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
from .instructions import LANE, write_box, write_call
from .shared_memory import SharedMemory
from .tensor_maps import TensorMap, map_of, maps_of

_GRID_AXES = ("x", "y", "z")  # the innermost first
_INDENT = "    "


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


def emit_kernel(kernel: Kernel, comment: tuple[str, ...] = ()) -> CudaKernel:
    """The source of one kernel. `UnsupportedError` where it is not of the form of a launch."""
    return _Emitter.of(kernel).emit(comment)


@dataclass(frozen=True)
class _Emitter:
    kernel: Kernel
    blocks: tuple[Loop, ...]  # outermost first
    threads: tuple[Loop, ...]
    warps: tuple[Loop, ...]  # or warpgroups, instead of threads
    body: Block
    expressions: Expressions
    shared: SharedMemory
    groups: Groups
    maps: Mapping[TensorMap, str]

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
        named = [buffer.name for buffer in (*kernel.params, *kernel.locals)]
        for stmt in walk(kernel.body):
            if isinstance(stmt, (Loop, Let)):
                named.append(stmt.axis if isinstance(stmt, Loop) else stmt.name)
        maps = maps_of(kernel.body, kernel.params)
        labels = [f"{kernel.params[entry.param].name}_{entry.name}" for entry in maps]
        names = identifiers([*named, LANE, *labels], frozenset((kernel_name(kernel),)))
        bounds = {**static_bounds(kernel.body), LANE: (0, _together(warps) - 1)}
        return _Emitter(
            kernel,
            blocks,
            threads,
            warps,
            body,
            Expressions(kernel.buffers, names, bounds, unrolled_axes(body)),
            SharedMemory.of(kernel),
            groups_of(kernel),
            {entry: names[label] for entry, label in zip(maps, labels, strict=True)},
        )

    def emit(self, comment: tuple[str, ...]) -> CudaKernel:
        grid, block = _sizes(self.blocks), _sizes(self.threads)
        if self._has_lanes:
            block = (prod(map(extent_of, self.warps)) * _together(self.warps), 1, 1)
        outputs = self.kernel.outputs
        params = ", ".join(
            f"{'' if param.name in outputs else 'const '}{element_type(param.dtype)}* "
            f"{self.name(param.name)}"
            for param in self.kernel.params
        )
        params += "".join(
            f", const __grid_constant__ TensorMap {name}" for name in self.maps.values()
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
        return CudaKernel(
            name,
            "\n".join(lines),
            grid,
            block,
            self.kernel.params,
            self.shared.asked_bytes,
            tuple(self.maps),
        )

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
            yield f"const int {self.name(LANE)} = threadIdx.x % {_together(self.warps)};"
        for loop in self.warps:
            yield f"const int {self.name(loop.axis)} = threadIdx.x / {_together(self.warps)};"
        yield from self._block(self.body)

    def _declared(self, local: Buffer) -> str:
        kind, name = buffer_type(local), self.name(local.name)
        if local.name in self.shared.places:
            place = self.shared.places[local.name]
            moved = f"(asked_shared_memory() + {place})" if place else "asked_shared_memory()"
            return f"{kind}* const {name} = ({kind}*){moved};"
        is_shared = local.space in (Space.SHARED, Space.BARRIER)
        space = "__shared__ __align__(16) " if is_shared else ""
        fragment = local.space is Space.FRAGMENT
        count = registers_of_lane(local) if fragment else max(1, local.elements)
        extent = "" if count == 1 and is_in_registers(local) else f"[{count}]"
        return f"{space}{kind} {name}{extent};"

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
            case Async():
                yield from self._async(stmt)
            case Wait():
                yield from write_wait(stmt, self.groups, write.names)
            case Await(barrier=barrier, parity=parity):
                place = write.place(barrier.buffer, barrier.indices)
                yield f"barrier_wait(&{place}, {write(parity)});"
            case Sync(scope=scope):
                yield "__syncthreads();" if scope == "block" else "__syncwarp();"
            case _:
                raise UnsupportedError(f"the CUDA backend has no {type(stmt).__name__} yet")

    def _async(self, stmt: Async) -> Iterator[str]:
        """Copies by threads and products are groups; boxes arrive at a barrier, which is told
        before how many bytes they are."""
        work = work_of(stmt)
        if work is not Work.BOXES:
            yield from write_begun(work, self._block(stmt.body))
            return
        copies, window = boxes_of(stmt)
        barrier = f"&{self.expressions.place(window.buffer, window.offsets)}"
        yield f"barrier_expect({barrier}, {box_bytes(copies)});"
        for copy in copies:
            name = self.maps[map_of(copy, self.kernel.params)]
            yield write_box(copy, self.expressions, name, barrier)

    def _loop(self, loop: Loop) -> Iterator[str]:
        write, name = self.expressions, self.name(loop.axis)
        if loop.kind is Kind.LANE:
            body = list(self._block(loop.body))
            is_alone = extent_of(loop) == 1
            yield f"if ({self.name(LANE)} == 0) {{" if is_alone else "{"
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


def _together(warps: tuple[Loop, ...]) -> int:
    """The threads whose lanes are counted: of a warp, or of a warpgroup."""
    is_group = any(loop.kind is Kind.WARPGROUP for loop in warps)
    return THREADS if is_group else WARP


def _sizes(loops: tuple[Loop, ...]) -> tuple[int, int, int]:
    sizes = [extent_of(loop) for loop in reversed(loops)]
    x, y, z = (*sizes, 1, 1, 1)[:3]
    return x, y, z


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"{_INDENT}{line}"
