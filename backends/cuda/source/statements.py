"""Statements of a kernel in CUDA C++, as they stand in Tile IR: loops, accumulations, barriers,
copies that go on beside. Registers are declared where they are first needed.

    lane l in 0..32: {acc = 0;  if l < 20: acc += x[l]}   ->   float acc = 0.0f;
                                                               if (lane < 20) {
                                                                   acc += x[lane];
                                                               }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ....errors import UnsupportedError
from ....expr import COMBINERS, INDEX, Load, Var, apply, has_loads, vars_of
from ....tile.nodes import (
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
)
from ....tile.traverse import loads_in, walk
from ....tile.tree import accesses, extent_of
from .asynchronous import Groups, Work, box_bytes, boxes_of, work_of, write_begun, write_wait
from .c_names import registers_of_lane, value_type
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

    def block(self, block: Block, undeclared: Sequence[Buffer] = ()) -> Iterator[str]:
        """The lines of all of them, with declarations of registers that none has yet."""
        begun: list[Async] = []
        stmts = list(_by_each_thread(block))
        touched = [_buffers_in((stmt,)) if undeclared else frozenset() for stmt in stmts]
        for place, stmt in enumerate(stmts):
            fresh = [local for local in undeclared if local.name in touched[place]]
            undeclared = [local for local in undeclared if local not in fresh]
            later: frozenset[str] = frozenset().union(*touched[place + 1 :])
            within = [local for local in fresh if local.name in _of_one_branch(stmt) - later]
            fresh = [local for local in fresh if local not in within]
            if isinstance(stmt, Wait):
                yield from write_wait(stmt, self.groups, begun, self.expressions.names)
                continue
            begun += [stmt] if isinstance(stmt, Async) else []
            lines = list(self._statement(stmt, within))
            match fresh, lines:
                case [local], [line] if line.startswith(f"{self._name(local)} = "):
                    yield f"{self.expressions.buffer_type(local)} {line}"
                case _:
                    yield from map(self._declared, fresh)
                    yield from lines

    def _name(self, buffer: Buffer) -> str:
        return self.expressions.names[buffer.name]

    def _declared(self, local: Buffer) -> str:
        """A thread's own registers of a buffer."""
        is_fragment = local.space is Space.FRAGMENT
        count = registers_of_lane(local) if is_fragment else max(1, local.elements)
        extent = f"[{count}]" if count > 1 else ""
        return f"{self.expressions.buffer_type(local)} {self._name(local)}{extent};"

    def _statement(self, stmt: Stmt, undeclared: Sequence[Buffer]) -> Iterator[str]:
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
                yield from self._if(stmt, undeclared)
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
            yield f"if ({self.expressions.names[LANE]} == 0) {{"
            yield from indented(self.block(loop.body))
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

    def _if(self, stmt: If, undeclared: Sequence[Buffer]) -> Iterator[str]:
        yield f"if ({self.expressions(stmt.condition)}) {{"
        yield from indented(self.block(stmt.then, undeclared))
        if stmt.otherwise:
            yield "} else {"
            yield from indented(self.block(stmt.otherwise, undeclared))
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


def is_of_each_lane(stmt: Stmt) -> bool:
    """Whether all lanes of a warp do what is in a loop, of which threads have a turn each."""
    return isinstance(stmt, Loop) and stmt.kind is Kind.LANE and extent_of(stmt) > 1


def _by_each_thread(block: Block) -> Iterator[Stmt]:
    """The statements of a block and of the loops over lanes in it, one after the other."""
    for stmt in block:
        if isinstance(stmt, Loop) and is_of_each_lane(stmt):
            yield from _by_each_thread(stmt.body)
        else:
            yield stmt


def _buffers_in(block: Block) -> frozenset[str]:
    """The buffers that statements touch, and those in them."""
    calls = [stmt for stmt in walk(block) if isinstance(stmt, Call)]
    windows = (window.buffer for call in calls for window in call.windows)
    return frozenset((*(name for name, _, _ in accesses(block)), *windows))


def _of_one_branch(stmt: Stmt) -> frozenset[str]:
    """The buffers that one branch of a condition alone touches."""
    if not isinstance(stmt, If):
        return frozenset()
    asked = frozenset(load.buffer for load in loads_in(stmt))
    return (_buffers_in(stmt.then) ^ _buffers_in(stmt.otherwise)) - asked


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
