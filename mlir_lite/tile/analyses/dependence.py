"""How the iterations of loops depend on each other through what they read and write.

The interpreter runs independent iterations at once; `separation` and `trial` have the
proofs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ...expr import COMBINERS, INDEX, Expr, bounds_of, has_loads, substitute_vars, vars_of
from ..inline import Scope
from ..nodes import (
    Accumulate,
    Async,
    Await,
    Block,
    Buffer,
    If,
    Kind,
    Let,
    Loop,
    Stmt,
    Sync,
    Wait,
)
from ..traverse import loads_in
from .scopes import inner_blocks, targets_of, walk_scoped
from .separation import distinct
from .trial import differ


class Mode(Enum):
    """How a loop's iterations depend on each other."""

    INDEPENDENT = "independent"  # each has elements of its own
    REDUCTION = "reduction"  # they meet only in accumulations that nothing else reads
    SERIAL = "serial"  # not known to be either


@dataclass(frozen=True, slots=True)
class Access:
    """A read or a write of a buffer, its indices over axes and loaded values only."""

    buffer: str
    indices: tuple[Expr, ...]
    writes: bool
    stmt: Stmt


def static_bounds(body: Block) -> dict[str, tuple[int, int]]:
    """Inclusive limits of every axis and name of a kernel, as far as they can be told."""
    bounds: dict[str, tuple[int, int]] = {}
    for stmt in walk_scoped(body):
        match stmt:
            case Loop(axis=axis, start=start, stop=stop):
                bounds[axis] = (bounds_of(start, bounds)[0], bounds_of(stop, bounds)[1] - 1)
            case Let(name=name, value=value) if value.dtype == INDEX:
                bounds[name] = bounds_of(value, bounds)
    return bounds


def plain_lets(body: Block) -> dict[str, Expr]:
    """The names bound to values that load nothing, with their values over axes only."""
    lets: dict[str, Expr] = {}
    for stmt in walk_scoped(body):
        if isinstance(stmt, Let) and not has_loads(stmt.value):
            lets[stmt.name] = substitute_vars(stmt.value, lets)
    return lets


def accesses_in(body: Block, lets: Mapping[str, Expr]) -> Iterator[Access]:
    """Every access of a block in the order of its text, a statement's reads first."""
    for stmt in walk_scoped(body):
        for load in loads_in(stmt):
            indices = tuple(substitute_vars(part, lets) for part in load.indices)
            yield Access(load.buffer, indices, False, stmt)
        for target in targets_of(stmt):
            indices = tuple(substitute_vars(part, lets) for part in target.indices)
            yield Access(target.buffer, indices, True, stmt)


def names_bound_in(body: Block) -> frozenset[str]:
    """The axes and names that a block binds."""
    return frozenset(
        stmt.axis if isinstance(stmt, Loop) else stmt.name
        for stmt in walk_scoped(body)
        if isinstance(stmt, Loop | Let)
    )


def private_in(body: Block) -> frozenset[str]:
    """The locals declared in a block: each of its runs has its own."""
    return frozenset(
        local.name
        for stmt in walk_scoped(body)
        if isinstance(stmt, Scope)
        for local in stmt.locals
    )


class Dependences:
    """The modes of all loops of a body (with scopes), and how large the loops in them get.

    `aliases` maps buffers that share memory to one name; their indices must mean the same.
    """

    def __init__(
        self, body: Block, params: Sequence[Buffer], aliases: Mapping[str, str]
    ) -> None:
        self.bounds = static_bounds(body)
        self.modes: dict[str, Mode] = {}
        self.reduced: dict[str, frozenset[str]] = {}  # the buffers a loop accumulates into
        self.inner_points: dict[str, int] = {}  # of the largest nest inside a loop
        self.local_elements: dict[str, int] = {}  # declared inside a loop
        self._lets = plain_lets(body)
        self._shapes = {buffer.name: buffer.shape for buffer in params}
        for stmt in walk_scoped(body):
            if isinstance(stmt, Scope):
                self._shapes |= {local.name: local.shape for local in stmt.locals}
        self._aliases = aliases
        self._visit(body)

    def _visit(self, body: Block) -> None:
        for stmt in body:
            for inner in inner_blocks(stmt):
                self._visit(inner)
            if isinstance(stmt, Loop):
                self.modes[stmt.axis] = self._mode(stmt)
                self.inner_points[stmt.axis] = self._points(stmt.body)
                self.local_elements[stmt.axis] = sum(
                    local.elements
                    for inner_stmt in walk_scoped(stmt.body)
                    if isinstance(inner_stmt, Scope)
                    for local in inner_stmt.locals
                )

    def _points(self, body: Block) -> int:
        most = 1
        for stmt in body:
            for inner in inner_blocks(stmt):
                points = self._points(inner)
                if isinstance(stmt, Loop):
                    low, high = self.bounds[stmt.axis]
                    points *= max(1, high - low + 1)
                most = max(most, points)
        return most

    def _mode(self, loop: Loop) -> Mode:
        in_step = loop.kind is Kind.BLOCK and _goes_in_step(loop, self._lets)
        if _joins(loop.body) and not in_step:
            return Mode.SERIAL
        private = private_in(loop.body)
        touched: dict[str, list[Access]] = {}
        for access in accesses_in(loop.body, self._lets):
            if access.buffer not in private:
                name = self._aliases.get(access.buffer, access.buffer)
                touched.setdefault(name, []).append(access)
        inner = names_bound_in(loop.body)
        reduced: set[str] = set()
        for name, accesses in touched.items():
            if not any(access.writes for access in accesses):
                continue
            indices = [access.indices for access in accesses]
            if distinct(loop.axis, indices, self._shapes[name], inner, self.bounds):
                continue
            if differ(loop.axis, indices, inner, self.bounds):
                continue
            if not _only_accumulates(accesses, {loop.axis} | inner):
                return Mode.SERIAL
            reduced.add(accesses[0].buffer)
        self.reduced[loop.axis] = frozenset(reduced)
        if not reduced:
            return Mode.INDEPENDENT
        nested = (stmt for stmt in walk_scoped(loop.body) if isinstance(stmt, Loop))
        if any(self.modes[stmt.axis] == Mode.SERIAL for stmt in nested):
            return Mode.SERIAL
        return Mode.REDUCTION


def _joins(body: Block) -> bool:
    """Whether a block has points where threads meet, or leaves something for later."""
    return any(isinstance(stmt, Sync | Async | Wait | Await) for stmt in walk_scoped(body))


def _goes_in_step(loop: Loop, lets: Mapping[str, Expr]) -> bool:
    """Whether the threads of all blocks meet at the same points, where those of one do: only the
    threads decide whether they come there, neither the block nor what is in memory."""
    known = {stmt.axis for stmt in walk_scoped(loop.body) if isinstance(stmt, Loop)}

    def alike(*parts: Expr) -> bool:
        plain = [substitute_vars(part, lets) for part in parts]
        return all(not has_loads(part) and vars_of(part) <= known for part in plain)

    def ways(block: Block) -> Iterator[bool]:
        for stmt in block:
            if isinstance(stmt, Await):
                yield False
            elif _joins(inner := tuple(part for own in inner_blocks(stmt) for part in own)):
                match stmt:
                    case Loop(start=start, stop=stop):
                        yield alike(start, stop)
                    case If(condition=condition):
                        yield alike(condition)
                yield from ways(inner)

    return all(ways(loop.body))


def _only_accumulates(accesses: list[Access], names: set[str]) -> bool:
    """Is one Accumulate all that touches the buffer, and one that can be reordered at once?"""
    (stmt, *others) = [access.stmt for access in accesses]
    if others or not isinstance(stmt, Accumulate):
        return False
    if COMBINERS[stmt.combiner].function:
        return True
    # The states of a tuple are joined together: each iteration must name the same ones.
    return not any(vars_of(part) & names for ref in stmt.targets for part in ref.indices)
