"""Which loop's iterations own a local buffer: a kernel made plain for the interpreter and the
verifier, its calls inlined and every local declared in a `Scope` where its life begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ...expr import Expr, has_loads, vars_of
from ...expr.nodes import Const
from ...types import Array
from ..evaluate import evaluate
from ..frame import Frame
from ..inline import External, Scope, inline_calls
from ..nodes import (
    Accumulate,
    Await,
    Block,
    Buffer,
    If,
    Kernel,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
)
from ..traverse import blocks_of, loads_in, map_blocks

THREAD_KINDS = (Kind.THREAD, Kind.WARP, Kind.WARPGROUP, Kind.LANE)
PARALLEL_KINDS = (Kind.PARALLEL, Kind.BLOCK, *THREAD_KINDS)

# The loops whose iterations own a buffer: a block's threads share its SHARED buffers.
_OWNERS: Mapping[Space, tuple[Kind, ...]] = {
    Space.SHARED: (Kind.PARALLEL, Kind.BLOCK),
    Space.REGISTER: PARALLEL_KINDS,
    Space.FRAGMENT: (Kind.PARALLEL, Kind.BLOCK, Kind.WARP, Kind.WARPGROUP),
    Space.MATRIX: PARALLEL_KINDS,
    Space.BARRIER: (Kind.PARALLEL, Kind.BLOCK),
    Space.GLOBAL: (),
}


def inner_blocks(stmt: Stmt) -> tuple[Block, ...]:
    """`blocks_of`, of a scope and of a C function too."""
    return (stmt.body,) if isinstance(stmt, (Scope, External)) else blocks_of(stmt)


def walk_scoped(block: Block) -> Iterator[Stmt]:
    """Every statement, outer ones first, in scopes too."""
    for stmt in block:
        yield stmt
        for inner in inner_blocks(stmt):
            yield from walk_scoped(inner)


def targets_of(stmt: Stmt) -> tuple[Ref, ...]:
    """The elements a statement writes itself."""
    match stmt:
        case Store(target=target):
            return (target,)
        case Accumulate(targets=targets):
            return targets
    return ()


Known: TypeAlias = dict[int, tuple[Stmt, frozenset[str]]]  # by identity, which the entry keeps


def buffers_in(stmt: Stmt, known: Known | None = None) -> frozenset[str]:
    """The buffers a statement or one nested in it touches; `known` remembers them."""
    if known is not None and id(stmt) in known:
        return known[id(stmt)][1]
    nested = (buffers_in(inner, known) for block in inner_blocks(stmt) for inner in block)
    found = _own_buffers(stmt).union(*nested)
    if known is not None:
        known[id(stmt)] = (stmt, found)
    return found


def _own_buffers(stmt: Stmt) -> frozenset[str]:
    """The buffers that a statement touches itself."""
    own = {load.buffer for load in loads_in(stmt)} | {ref.buffer for ref in targets_of(stmt)}
    return frozenset(own | {stmt.barrier.buffer} if isinstance(stmt, Await) else own)


def scoped(kernel: Kernel, *, narrow: bool) -> Block:
    """The kernel's body with calls inlined and its locals in `Scope`s.

    With `narrow` a buffer that each iteration of a serial loop initialises before it reads is
    declared inside that loop, which frees the loop's iterations of each other.
    """
    body = inline_calls(kernel)
    known: Known = {}
    for local in kernel.locals:
        body = _declare(local, body, narrow, known)
    return body


def _declare(local: Buffer, body: Block, narrow: bool, known: Known) -> Block:
    """Put a buffer's scope where its owner loop says; nowhere if it is not used."""
    chain = _common_loops(local.name, body, known)
    if chain is None:
        return body
    owned = [loop.kind in _OWNERS[local.space] for loop in chain]
    home = max((place for place, owner in enumerate(owned) if owner), default=-1)
    if narrow:
        deeper = (
            place
            for place in range(len(chain) - 1, home, -1)
            if initialises_first(chain[place].body, local)
        )
        home = next(deeper, home)
    return _wrap(body, local, chain[home].axis if home >= 0 else None)


def _wrap(body: Block, local: Buffer, axis: str | None) -> Block:
    if axis is None:
        match body:
            case (Scope(locals=locals_, body=inner),):
                return (Scope((*locals_, local), inner),)
        return (Scope((local,), body),)

    def visit(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Loop) and stmt.axis == axis:
            return replace(stmt, body=_wrap(stmt.body, local, None))
        if isinstance(stmt, Scope):
            return Scope(stmt.locals, tuple(visit(inner) for inner in stmt.body))
        return map_blocks(stmt, lambda block: tuple(visit(inner) for inner in block))

    return tuple(visit(stmt) for stmt in body)


def _common_loops(name: str, body: Block, known: Known) -> list[Loop] | None:
    """The loops around all uses of a buffer, outer first; None without a use."""
    using = [stmt for stmt in body if name in buffers_in(stmt, known)]
    if not using:
        return None
    if len(using) == 1:
        (stmt,) = using
        if isinstance(stmt, External):
            return []
        if name not in _own_buffers(stmt):
            inner = [block for block in inner_blocks(stmt) if _uses(name, block, known)]
            if len(inner) == 1:
                head = [stmt] if isinstance(stmt, Loop) else []
                return head + (_common_loops(name, inner[0], known) or [])
    return []


def _uses(name: str, block: Block, known: Known) -> bool:
    return any(name in buffers_in(stmt, known) for stmt in block)


def initialises_first(body: Block, buffer: Buffer) -> bool:
    """Does every run of `body` write all of the buffer before it reads any of it, or never read?

    Decided by enumerating the elements that unconditional stores write; False where unsure.
    """
    covered = np.zeros(buffer.shape, np.bool_)
    return _initialises(body, buffer, covered, Frame("", {}, {}))


def _initialises(body: Block, buffer: Buffer, covered: Array, frame: Frame) -> bool:
    """Mark what the statements write; False at a read of what is not wholly written."""
    for stmt in body:
        if covered.all():
            return True
        if buffer.name not in buffers_in(stmt):
            continue
        match stmt:
            case Store(target=target) if not _reads(stmt, buffer):
                _mark(target.indices, covered, frame)
            case Loop(axis=axis, body=inner) if not _reads(stmt, buffer):
                limits = constant_limits(stmt)
                within = np.zeros_like(covered)
                if limits is None or limits[0] >= limits[1]:
                    return False
                deeper = frame.expanded(axis, *limits)
                if not _initialises(inner, buffer, within, deeper):
                    return False
                covered |= within
            case Scope(body=inner) | External(body=inner):
                if not _initialises(inner, buffer, covered, frame):
                    return False
            case If(then=then, otherwise=otherwise) if not _reads(stmt, buffer):
                both = [np.zeros_like(covered), np.zeros_like(covered)]
                arms = zip((then, otherwise), both, strict=True)
                if not all(_initialises(arm, buffer, marks, frame) for arm, marks in arms):
                    return False
                covered |= both[0] & both[1]
            case _:
                return False
    return True


def constant_limits(loop: Loop) -> tuple[int, int] | None:
    """Where a loop starts and stops, if both are constants."""
    match loop:
        case Loop(start=Const(value=start), stop=Const(value=stop)):
            return int(start), int(stop)
    return None


def _reads(stmt: Stmt, buffer: Buffer) -> bool:
    return any(
        load.buffer == buffer.name for inner in walk_scoped((stmt,)) for load in loads_in(inner)
    ) or any(
        target.buffer == buffer.name
        for inner in walk_scoped((stmt,))
        if isinstance(inner, Accumulate)
        for target in inner.targets
    )


def _mark(indices: Sequence[Expr], covered: Array, frame: Frame) -> None:
    """Mark the elements at these indices over the frame's grid, if they can be told."""
    known = all(
        vars_of(part) <= frame.vars.keys() and not has_loads(part)
        for part in indices
    )
    if not known:
        return
    places = np.broadcast_arrays(*(np.asarray(evaluate(part, frame)) for part in indices))
    # Under a condition the grid reaches further than what is written.
    inside = np.ones(places[0].shape if places else (), bool)
    for place, extent in zip(places, covered.shape, strict=True):
        inside &= (place >= 0) & (place < extent)
    covered[tuple(place[inside] for place in places)] = True
