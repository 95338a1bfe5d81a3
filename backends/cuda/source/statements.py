"""Statements of a kernel in CUDA C++, as they stand in Tile IR: loops, accumulations, barriers,
copies that go on beside.

    if i < 640: y[i] = max(x[i], 0)   ->   if (i < 640) {
                                               y[i] = larger(x[i], 0.0f);
                                           }
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ....errors import UnsupportedError
from ....expr import COMBINERS, INDEX, Load, Var, apply, has_loads, vars_of
from ....tile.nodes import (
    Accumulate,
    Async,
    Await,
    Block,
    Call,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Stmt,
    Store,
    Sync,
    Wait,
)
from ....tile.traverse import walk
from ....tile.tree import extent_of
from .asynchronous import Groups, Work, box_bytes, boxes_of, work_of, write_begun, write_wait
from .c_names import value_type
from .expressions import Expressions
from .instructions import LANE, write_box, write_call
from .tensor_maps import TensorMap, map_of

INDENT = "    "


@dataclass(frozen=True)
class Statements:
    """Writes the statements of one kernel: `maps` are the names of its tensor maps."""

    kernel: Kernel
    expressions: Expressions
    groups: Groups
    maps: Mapping[TensorMap, str]

    def block(self, block: Block) -> Iterator[str]:
        """The lines of all of them."""
        begun: list[Async] = []
        for stmt in block:
            if isinstance(stmt, Wait):
                yield from write_wait(stmt, self.groups, begun, self.expressions.names)
                continue
            begun += [stmt] if isinstance(stmt, Async) else []
            yield from self._statement(stmt)

    def _statement(self, stmt: Stmt) -> Iterator[str]:
        write = self.expressions
        match stmt:
            case Store(target=target, value=value):
                place = write.place(target.buffer, target.indices)
                yield f"{place} = {write.stored(value, self.kernel.buffers[target.buffer])};"
            case Let(name=name, value=value):
                kind = write.index_type(value) if value.dtype == INDEX else value_type(value.dtype)
                yield f"const {kind} {self.expressions.names[name]} = {write(value)};"
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
            yield from write_begun(work, self.block(stmt.body))
            return
        copies, window = boxes_of(stmt)
        barrier = f"&{self.expressions.place(window.buffer, window.offsets)}"
        yield f"barrier_expect({barrier}, {box_bytes(copies)});"
        for copy in copies:
            name = self.maps[map_of(copy, self.kernel.params)]
            yield write_box(copy, self.expressions, name, barrier)

    def _loop(self, loop: Loop) -> Iterator[str]:
        write, name = self.expressions, self.expressions.names[loop.axis]
        if loop.kind is Kind.LANE:
            body = list(self.block(loop.body))
            is_alone = extent_of(loop) == 1
            yield f"if ({self.expressions.names[LANE]} == 0) {{" if is_alone else "{"
            # A lane's own part of a fragment is reached without its number.
            if any(re.search(rf"\b{name}\b", line) for line in body):
                yield f"{INDENT}const int {name} = {self.expressions.names[LANE]};"
            yield from indented(iter(body))
            yield "}"
            return
        kind = write.index_type(Var(INDEX, loop.axis))
        if loop.kind in (Kind.UNROLL, Kind.VECTOR):
            yield "#pragma unroll"
        elif loop.kind is Kind.ROLLED:
            yield "#pragma unroll 1"
        stop = write.text(loop.stop).within(5)
        yield f"for ({kind} {name} = {write(loop.start)}; {name} < {stop}; ++{name}) {{"
        yield from indented(self.block(loop.body))
        yield "}"

    def _if(self, stmt: If) -> Iterator[str]:
        yield f"if ({self.expressions(stmt.condition)}) {{"
        yield from indented(self.block(stmt.then))
        if stmt.otherwise:
            yield "} else {"
            yield from indented(self.block(stmt.otherwise))
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


def moving_names(body: Block) -> frozenset[str]:
    """The axes of loops that are not written out, and what depends on them."""
    found: set[str] = set()
    for stmt in walk(body):
        if isinstance(stmt, Loop) and stmt.kind in (Kind.SERIAL, Kind.ROLLED):
            found.add(stmt.axis)
        elif isinstance(stmt, Let) and (vars_of(stmt.value) & found or has_loads(stmt.value)):
            found.add(stmt.name)
    return frozenset(found)


def indented(lines: Iterator[str]) -> Iterator[str]:
    """Lines one step further in."""
    for line in lines:
        yield f"{INDENT}{line}"
