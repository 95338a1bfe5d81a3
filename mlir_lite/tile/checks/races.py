"""The verifier's check for races: iterations that may run at the same time, and write one element.

What the linear forms do not prove is enumerated where the loops are small enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ...expr import INDEX, Apply, Bounds, Const, Expr, Var, index, vars_of
from ...expr.simplify import from_linear
from ...types import Array
from ..analyses.accesses import Accesses, Site, points
from ..analyses.conditions import conditional_bounds
from ..analyses.dependence import names_bound_in, private_in
from ..analyses.scopes import PARALLEL_KINDS, constant_limits, inner_blocks, walk_scoped
from ..analyses.separation import distinct, flat_index
from ..evaluate import evaluate
from ..nodes import Await, Block, Buffer, Loop, Space, Store, Sync
from ..tree import var


def check_races(accesses: Accesses) -> None:
    """Iterations that may run at the same time have elements of their own to write."""
    _races(accesses, accesses.body, ())


def _races(accesses: Accesses, body: Block, around: tuple[Loop, ...]) -> None:
    for stmt in body:
        if isinstance(stmt, Loop) and stmt.kind in PARALLEL_KINDS:
            _check_loop(accesses, stmt, around)
        inner_around = (*around, stmt) if isinstance(stmt, Loop) else around
        for inner in inner_blocks(stmt):
            _races(accesses, inner, inner_around)


def _check_loop(accesses: Accesses, loop: Loop, around: tuple[Loop, ...]) -> None:
    ends = constant_limits(loop)
    if ends is not None and ends[1] - ends[0] <= 1:
        return  # one iteration has none to race with
    inner = names_bound_in(loop.body)
    for sites in _meeting(accesses, loop, around):
        written = [site for site in sites if site.access.writes]
        if not written or _are_apart(accesses, loop, sites, inner):
            continue
        name = written[0].access.buffer
        verdict = _collide(accesses, loop, around, sites, accesses.buffers[name])
        if verdict is not False:
            how = "touch" if verdict else "are not proven not to touch"
            raise accesses.fail(
                written[0].access.stmt,
                f"iterations of the {loop.kind} loop over {loop.axis} {how} the same element "
                f"of '{name}'",
            )


def _meeting(
    accesses: Accesses, loop: Loop, around: tuple[Loop, ...]
) -> Iterable[Sequence[Site]]:
    """The accesses that different iterations may make at one time, by what they touch."""
    private = private_in(loop.body)
    synchronised = any(isinstance(stmt, Sync | Await) for stmt in walk_scoped(loop.body))
    groups: dict[tuple[str, int], list[Site]] = {}
    for site in accesses.sites(loop.body, (*around, loop)):
        access = site.access
        if access.buffer in private or (synchronised and not access.writes):
            continue
        # A Sync may stand between two statements, never inside one.
        group = id(access.stmt) if synchronised else 0
        groups.setdefault((access.buffer, group), []).append(site)
    return groups.values()


def _are_apart(
    accesses: Accesses, loop: Loop, sites: Sequence[Site], inner: frozenset[str]
) -> bool:
    """Whether iterations do no harm by these accesses of a buffer: the linear forms say so."""
    buffer = accesses.buffers[sites[0].access.buffer]
    if buffer.elements == 1 and _write_one_constant(sites):
        return True
    bounds = _held_bounds(accesses, sites)
    low, high = bounds[loop.axis]
    # Arrivals at a barrier may come in any order; one iteration has none to race with.
    if buffer.space is Space.BARRIER or low == high:
        return True
    indices = [site.access.indices for site in sites]
    return any(
        distinct(
            loop.axis, [tuple(part + zero for part in at) for at in indices], buffer.shape, inner,
            bounds,
        )
        for zero in _zeros(sites)
    )  # fmt: skip


def _zeros(sites: Sequence[Site]) -> Iterator[Expr]:
    """What is 0 wherever any of these accesses happens: it may be added to their indices, so that
    of `if p == r: y[r]` they are told as those of `y[p]`."""
    yield index(0)
    first, *others = (site.conditions for site in sites)
    for held in first:
        match held:
            case Apply(function="eq", args=(left, right)) if left.dtype == INDEX:
                if all(held in conditions for conditions in others):
                    yield from (left - right, right - left)


def _held_bounds(accesses: Accesses, sites: Sequence[Site]) -> Bounds:
    """The limits of axes and names where the conditions on some of these accesses hold."""
    named = {
        name
        for site in sites
        for held in site.conditions
        for name in vars_of(held) & accesses.bounds.keys()
    }
    held = {
        name: [
            conditional_bounds(Var(INDEX, name), site.conditions, accesses.bounds)
            for site in sites
        ]
        for name in named
    }
    narrowed = {
        name: (min(low for low, _ in ends), max(high for _, high in ends))
        for name, ends in held.items()
    }
    return {**accesses.bounds, **narrowed}


def _collide(
    accesses: Accesses, loop: Loop, around: tuple[Loop, ...], sites: Sequence[Site], buffer: Buffer
) -> bool | None:
    """Do two iterations share an element that one writes? None where it cannot be told."""
    places = [from_linear(flat_index(site.access.indices, buffer.shape)) for site in sites]
    names: frozenset[str] = frozenset().union(*map(vars_of, places))
    for site in sites:
        names |= frozenset().union(*map(vars_of, site.conditions))
        for level in site.loops[len(around) :]:
            names |= vars_of(accesses.plain(level.start)) | vars_of(accesses.plain(level.stop))
    fixed = tuple(var(level.axis) for level in around if level.axis in names)
    rows: list[Array] = []
    for site, place in zip(sites, places, strict=True):
        wanted = (*fixed, place, var(loop.axis))
        frame = accesses.enumerate(site, (*wanted, *site.conditions))
        if frame is None:
            return None
        for held in site.conditions:
            frame = frame.masked(evaluate(held, frame))
        columns = [evaluate(expr, frame) for expr in wanted]
        columns.append(np.asarray(site.access.writes, np.int64))
        rows.append(points(columns, frame))
    return _shared(np.concatenate(rows, axis=1))


def _write_one_constant(sites: Sequence[Site]) -> bool:
    """Whether all accesses store one constant: then it does not matter which is the last."""
    values = {
        site.access.stmt.value if isinstance(site.access.stmt, Store) else None for site in sites
    }
    return len(values) == 1 and isinstance(values.pop(), Const)


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
