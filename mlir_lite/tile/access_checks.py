"""The verifier's checks of memory accesses: indices within their buffers, and no races.

What the linear forms do not prove is enumerated where the loops are small enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..errors import VerifyError
from ..expr import (
    INDEX,
    Apply,
    Bounds,
    Const,
    Expr,
    Load,
    Var,
    apply,
    loads_of,
    substitute_vars,
    vars_of,
)
from ..expr.simplify import from_linear, linear
from ..expr.traverse import children
from ..types import Array
from .conditions import conditional_bounds
from .dependence import (
    Access,
    distinct,
    flat_index,
    names_bound_in,
    plain_lets,
    private_in,
    static_bounds,
)
from .evaluate import Frame, evaluate
from .inline import Scope
from .machine import bounded, limits
from .nodes import Await, Block, Buffer, If, Kernel, Loop, Space, Stmt, Store, Sync
from .printer import print_kernel
from .scopes import PARALLEL_KINDS, constant_limits, inner_blocks, scoped, targets_of, walk_scoped
from .traverse import expressions_of

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


class AccessChecks:
    """Checks a kernel's accesses; each method raises `VerifyError`."""

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
        return substitute_vars(expr, self.lets)

    def check_bounds(self, *, strict: bool) -> None:
        """Every index lies in its buffer; with `strict` that must be proven."""
        for site in self.sites(self.body):
            access = site.access
            shape = self.buffers[access.buffer].shape
            for dimension, (part, extent) in enumerate(zip(access.indices, shape, strict=True)):
                reason = self._outside(part, extent, site, strict)
                if reason:
                    raise self.fail(
                        access.stmt,
                        f"the index of dimension {dimension} of '{access.buffer}' {reason}, its "
                        f"extent is {extent}",
                    )

    def _outside(self, part: Expr, extent: int, site: Site, strict: bool) -> str:
        """Why an index is wrong; empty if it is right, or may be and that is enough."""
        low, high = conditional_bounds(part, site.conditions, self.bounds)
        if low >= 0 and high < extent:
            return ""
        if low > high:  # the conditions contradict each other: it never happens
            return ""
        known = tuple(held for held in site.conditions if not _loads(held))
        frame = self.enumerate(site, (part, *known))
        if frame is not None:
            for held in known:
                frame = frame.masked(evaluate(held, frame))
            wrong = _wrong_value(evaluate(part, frame), extent, frame)
            if wrong is None:
                return ""
            if len(known) == len(site.conditions):
                return f"is {wrong}"
        elif low >= extent or high < 0 or (not site.conditions and self._attained(part, site)):
            return f"goes from {low} to {high}"
        return "is not proven to be inside" if strict else ""

    def _attained(self, part: Expr, site: Site) -> bool:
        """Does the index take the ends of its bounds? So if linear over constant loops."""
        constant = {loop.axis for loop in site.loops if constant_limits(loop)}
        terms = [term for term in linear(part) if term is not None]
        return all(not children(term) and vars_of(term) <= constant for term in terms)

    def enumerate(self, site: Site, exprs: Sequence[Expr]) -> Frame | None:
        """A frame of all iterations that the expressions depend on; None if too many or unknown."""
        if any(_loads(expr) for expr in exprs):
            return None
        wanted = frozenset().union(*(vars_of(expr) for expr in exprs))
        chosen: list[Loop] = []
        for loop in reversed(site.loops):
            if loop.axis in wanted:
                ends = (self.plain(loop.start), self.plain(loop.stop))
                if any(_loads(end) for end in ends):
                    return None
                chosen.append(replace(loop, start=ends[0], stop=ends[1]))
                wanted |= vars_of(ends[0]) | vars_of(ends[1])
        if wanted - {loop.axis for loop in chosen}:
            return None
        return _frame(self.kernel.name, chosen[::-1])

    def check_races(self) -> None:
        """Iterations that may run at the same time have elements of their own to write."""
        self._races(self.body, ())

    def _races(self, body: Block, around: tuple[Loop, ...]) -> None:
        for stmt in body:
            if isinstance(stmt, Loop) and stmt.kind in PARALLEL_KINDS:
                self._check_loop(stmt, around)
            inner_around = (*around, stmt) if isinstance(stmt, Loop) else around
            for inner in inner_blocks(stmt):
                self._races(inner, inner_around)

    def _check_loop(self, loop: Loop, around: tuple[Loop, ...]) -> None:
        ends = constant_limits(loop)
        if ends is not None and ends[1] - ends[0] <= 1:
            return  # one iteration has none to race with
        private = private_in(loop.body)
        groups: dict[tuple[str, int], list[Site]] = {}
        synchronised = any(isinstance(stmt, Sync | Await) for stmt in walk_scoped(loop.body))
        for site in self.sites(loop.body, (*around, loop)):
            access = site.access
            if access.buffer in private or (synchronised and not access.writes):
                continue
            # A Sync may stand between two statements, never inside one.
            group = id(access.stmt) if synchronised else 0
            groups.setdefault((access.buffer, group), []).append(site)
        inner = names_bound_in(loop.body)
        for (name, _), sites in groups.items():
            written = [site for site in sites if site.access.writes]
            single = self.buffers[name].elements == 1
            if not written or (single and _write_one_constant(sites)):
                continue
            bounds = self._held_bounds(sites)
            low, high = bounds[loop.axis]
            # Arrivals at a barrier may come in any order; one iteration has none to race with.
            if self.buffers[name].space is Space.BARRIER or low == high:
                continue
            shape = self.buffers[name].shape
            indices = [site.access.indices for site in sites]
            if distinct(loop.axis, indices, shape, inner, bounds):
                continue
            verdict = self._collide(loop, around, sites, self.buffers[name])
            if verdict is not False:
                how = "touch" if verdict else "are not proven not to touch"
                raise self.fail(
                    written[0].access.stmt,
                    f"iterations of the {loop.kind} loop over {loop.axis} {how} the same element "
                    f"of '{name}'",
                )

    def _held_bounds(self, sites: Sequence[Site]) -> Bounds:
        """The limits of axes and names where the conditions on some of these accesses hold."""
        named = {
            name
            for site in sites
            for held in site.conditions
            for name in vars_of(held) & self.bounds.keys()
        }
        held = {
            name: [
                conditional_bounds(Var(INDEX, name), site.conditions, self.bounds)
                for site in sites
            ]
            for name in named
        }
        narrowed = {
            name: (min(low for low, _ in ends), max(high for _, high in ends))
            for name, ends in held.items()
        }
        return {**self.bounds, **narrowed}

    def _collide(
        self, loop: Loop, around: tuple[Loop, ...], sites: Sequence[Site], buffer: Buffer
    ) -> bool | None:
        """Do two iterations share an element that one writes? None where it cannot be told."""
        places = [from_linear(flat_index(site.access.indices, buffer.shape)) for site in sites]
        names: frozenset[str] = frozenset().union(*map(vars_of, places))
        for site in sites:
            names |= frozenset().union(*map(vars_of, site.conditions))
            for level in site.loops[len(around) :]:
                names |= vars_of(self.plain(level.start)) | vars_of(self.plain(level.stop))
        fixed = tuple(_axis(level) for level in around if level.axis in names)
        rows: list[Array] = []
        for site, place in zip(sites, places, strict=True):
            wanted = (*fixed, place, _axis(loop))
            frame = self.enumerate(site, (*wanted, *site.conditions))
            if frame is None:
                return None
            for held in site.conditions:
                frame = frame.masked(evaluate(held, frame))
            columns = [evaluate(expr, frame) for expr in wanted]
            columns.append(np.asarray(site.access.writes, np.int64))
            rows.append(_points(columns, frame))
        return _shared(np.concatenate(rows, axis=1))


def _write_one_constant(sites: Sequence[Site]) -> bool:
    """Whether all accesses store one constant: then it does not matter which is the last."""
    values = {
        site.access.stmt.value if isinstance(site.access.stmt, Store) else None for site in sites
    }
    return len(values) == 1 and isinstance(values.pop(), Const)


def _axis(loop: Loop) -> Var:
    return Var(INDEX, loop.axis)


def _loads(expr: Expr) -> bool:
    return any(True for _ in loads_of(expr))


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


def _wrong_value(index: Array, extent: int, frame: Frame) -> int | None:
    """An index outside `0..extent` that an active point has."""
    values = _points([index], frame)[0]
    wrong = values[(values < 0) | (values >= extent)]
    return int(wrong[0]) if wrong.size else None


def _points(columns: Sequence[Array], frame: Frame) -> Array:
    """The columns' values at the active points, as rows of one array."""
    active = np.ones((), np.bool_) if frame.mask is None else frame.mask
    whole = frame.grid[::-1]
    kept = np.broadcast_to(active, whole)
    return np.stack([np.broadcast_to(column, whole)[kept] for column in columns])


def _shared(rows: Array) -> bool:
    """Rows: what names an element, then the iteration, then whether it writes. Is an element
    written in one iteration and touched in another?"""
    *keys, iteration, writes = rows
    if not iteration.size:
        return False
    order = np.lexsort(keys)
    changes = np.zeros(len(order), np.bool_)
    changes[0] = True
    for key in keys:
        changes[1:] |= np.diff(key[order]) != 0
    first = np.flatnonzero(changes)
    least = np.minimum.reduceat(iteration[order], first)
    most = np.maximum.reduceat(iteration[order], first)
    written = np.maximum.reduceat(writes[order], first)
    return bool(((least != most) & (written > 0)).any())
