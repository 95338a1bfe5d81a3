"""The accesses of a kernel, with the loops around each and the conditions under which it happens.

Where their loops are small enough, all iterations can be gone through at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ...errors import VerifyError
from ...expr import Apply, Expr, Load, apply, has_loads, substitute_vars, vars_of
from ...expr.traverse import children
from ...types import Array
from ..evaluate import evaluate
from ..frame import Frame
from ..inline import Scope
from ..machine import bounded, limits
from ..nodes import Block, If, Kernel, Loop, Stmt
from ..printer import print_kernel
from ..traverse import expressions_of
from .dependence import Access, plain_lets, static_bounds
from .scopes import constant_limits, inner_blocks, scoped, targets_of, walk_scoped

ENUMERATED = 1 << 20  # iterations gone through one by one, at most


def statement_text(kernel: Kernel, stmt: Stmt) -> str:
    """The first line of a statement as it is printed."""
    buffers = kernel.params + kernel.locals
    bare = replace(kernel, params=buffers, outputs=(), locals=(), procs=(), externs=())
    alone = bare.with_body((stmt,))
    return print_kernel(alone).splitlines()[1].strip()


@dataclass(frozen=True, slots=True)
class Site:
    """An access with the loops around it and the conditions under which it happens."""

    access: Access
    loops: tuple[Loop, ...]
    conditions: tuple[Expr, ...]


class Accesses:
    """The accesses of a kernel, with what is known of its axes, names and buffers."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.body = scoped(kernel, narrow=False)
        self.bounds = static_bounds(self.body)
        self.lets = plain_lets(self.body)
        self.buffers = dict(kernel.buffers)
        for stmt in walk_scoped(self.body):
            if isinstance(stmt, Scope):
                self.buffers |= {local.name: local for local in stmt.locals}

    def fail(self, stmt: Stmt, message: str) -> VerifyError:
        """What is wrong with a statement of the kernel."""
        text = statement_text(self.kernel, stmt)
        return VerifyError(f"kernel '{self.kernel.name}': {message}, in `{text}`")

    def sites(self, body: Block, around: Sequence[Loop] = ()) -> Iterator[Site]:
        """Every access of a block; of loops that never run, none."""
        return self._sites(body, tuple(around), ())

    def _sites(
        self, body: Block, loops: tuple[Loop, ...], conditions: tuple[Expr, ...]
    ) -> Iterator[Site]:
        for stmt in body:
            for expr in expressions_of(stmt):
                for load, guards in _guarded_loads(expr, ()):
                    at = tuple(self.plain(part) for part in load.indices)
                    held = conditions + tuple(self.plain(guard) for guard in guards)
                    yield Site(Access(load.buffer, at, False, stmt), loops, held)
            for target in targets_of(stmt):
                at = tuple(self.plain(part) for part in target.indices)
                yield Site(Access(target.buffer, at, True, stmt), loops, conditions)
            match stmt:
                case Loop(body=inner):
                    constant = constant_limits(stmt)
                    if constant is None or constant[0] < constant[1]:
                        yield from self._sites(inner, (*loops, stmt), conditions)
                case If(condition=condition, then=then, otherwise=otherwise):
                    holds = self.plain(condition)
                    yield from self._sites(then, loops, (*conditions, holds))
                    fails = apply("not", holds)
                    yield from self._sites(otherwise, loops, (*conditions, fails))
                case _:
                    for inner in inner_blocks(stmt):
                        yield from self._sites(inner, loops, conditions)

    def plain(self, expr: Expr) -> Expr:
        """The expression over axes and loaded values only."""
        return substitute_vars(expr, self.lets)

    def enumerate(self, site: Site, exprs: Sequence[Expr]) -> Frame | None:
        """A frame of all iterations that the expressions depend on; None if too many or unknown."""
        if any(has_loads(expr) for expr in exprs):
            return None
        wanted = frozenset().union(*(vars_of(expr) for expr in exprs))
        chosen: list[Loop] = []
        for loop in reversed(site.loops):
            if loop.axis in wanted:
                ends = (self.plain(loop.start), self.plain(loop.stop))
                if any(has_loads(end) for end in ends):
                    return None
                chosen.append(replace(loop, start=ends[0], stop=ends[1]))
                wanted |= vars_of(ends[0]) | vars_of(ends[1])
        if wanted - {loop.axis for loop in chosen}:
            return None
        return _frame(self.kernel.name, chosen[::-1])


def _guarded_loads(
    expr: Expr, guards: tuple[Expr, ...]
) -> Iterator[tuple[Load, tuple[Expr, ...]]]:
    """Each load with the conditions of the selects in whose arms it stands."""
    match expr:
        case Apply(function="select", args=(condition, then, otherwise)):
            yield from _guarded_loads(condition, guards)
            yield from _guarded_loads(then, (*guards, condition))
            yield from _guarded_loads(otherwise, (*guards, apply("not", condition)))
            return
        case Load():
            yield expr, guards
    for child in children(expr):
        yield from _guarded_loads(child, guards)


def _frame(kernel: str, loops: Sequence[Loop]) -> Frame | None:
    """All iterations of nested loops at once; None if they are too many."""
    frame = Frame(kernel, {}, {})
    for loop in loops:
        start, stop = evaluate(loop.start, frame), evaluate(loop.stop, frame)
        low, high = limits(start, stop, frame.mask)
        if prod(frame.grid) * (high - low) > ENUMERATED:
            return None
        inner = frame.expanded(loop.axis, low, max(low, high))
        frame = bounded(loop.axis, start, stop, inner)
    return frame


def points(columns: Sequence[Array], frame: Frame) -> Array:
    """The columns' values at the active points, as rows of one array."""
    active = np.ones((), np.bool_) if frame.mask is None else frame.mask
    whole = frame.grid[::-1]
    kept = np.broadcast_to(active, whole)
    return np.stack([np.broadcast_to(column, whole)[kept] for column in columns])
