"""Finding and replacing loops in a kernel: what schedule steps are made of.

A step that copies a loop names the copy `m$1`; `base("m.i$1") == "m.i"`, so that later steps
address all copies of an axis by one name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial

from ..errors import VerifyError
from ..expr import (
    INDEX,
    Bounds,
    Const,
    Expr,
    Var,
    bounds_of,
    index,
    simplify,
    substitute_vars,
    vars_of,
)
from ..text import fresh_name
from .analyses.scopes import targets_of
from .nodes import Accumulate, Async, Block, If, Kernel, Kind, Let, Loop, Ref, Stmt, Store
from .traverse import (
    blocks_of,
    expressions_of,
    loads_in,
    map_blocks,
    map_own,
    substitute_block,
    walk,
)


def base(axis: str) -> str:
    """The name of an axis without the number of its copy."""
    return axis.partition("$")[0]


def loops_of(kernel: Kernel, axis: str) -> list[Loop]:
    """All copies of an axis."""
    return [
        stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop) and base(stmt.axis) == axis
    ]


def extent_of(loop: Loop) -> int:
    """The constant number of iterations; `VerifyError` where it is not constant."""
    if isinstance(loop.start, Const) and isinstance(loop.stop, Const):
        return max(0, int(loop.stop.value) - int(loop.start.value))
    raise VerifyError(f"the loop over {loop.axis} has no constant limits")


def is_dealt(kernel: Kernel) -> bool:
    """Whether a kernel is pieces that threads may run in any order."""
    return any(isinstance(stmt, Loop) and stmt.kind is Kind.PARALLEL for stmt in kernel.body)


def has_constant_limits(loop: Loop) -> bool:
    """Whether start and stop of a loop are literals."""
    return isinstance(loop.start, Const) and isinstance(loop.stop, Const)


def var(axis: str) -> Var:
    """The index that a loop over this axis gives."""
    return Var(INDEX, axis)


def loop_bounds(loop: Loop, bounds: Bounds) -> tuple[int, int]:
    """Inclusive limits of a loop's axis."""
    return bounds_of(loop.start, bounds)[0], bounds_of(loop.stop, bounds)[1] - 1


class Names:
    """Gives names that nothing in a kernel has yet."""

    def __init__(self, kernel: Kernel) -> None:
        self._taken = {buffer.name for buffer in kernel.params + kernel.locals}
        for stmt in walk(kernel.body):
            if isinstance(stmt, Loop):
                self._taken.add(stmt.axis)
            elif isinstance(stmt, Let):
                self._taken.add(stmt.name)

    def copy(self, name: str) -> str:
        """A fresh name for a copy: `m` itself if it is free, else `m$1`, `m$2`, …"""
        return self.fresh(base(name), "$")

    def fresh(self, name: str, mark: str = "") -> str:
        return fresh_name(name, self._taken, mark)


def copy_block(block: Block, names: Names) -> Block:
    """The block with its own axes and names made fresh, so that it may stand beside the first."""
    renamed: dict[str, Expr] = {}
    return substitute_block(_renamed(block, names, renamed), renamed)


def _renamed(block: Block, names: Names, renamed: dict[str, Expr]) -> Block:
    """The block with fresh names where they are given; what to read for them goes to `renamed`."""
    copied: list[Stmt] = []
    for inner in block:
        stmt = map_blocks(inner, partial(_renamed, names=names, renamed=renamed))
        if isinstance(stmt, Loop):
            axis = names.copy(stmt.axis)
            renamed[stmt.axis] = var(axis)
            stmt = replace(stmt, axis=axis)
        elif isinstance(stmt, Let):
            name = names.copy(stmt.name)
            renamed[stmt.name] = Var(stmt.value.dtype, name)
            stmt = replace(stmt, name=name)
        copied.append(stmt)
    return tuple(copied)


def rewrite_loops(
    kernel: Kernel, axes: Collection[str], change: Callable[[Loop, Bounds], Block]
) -> Kernel:
    """Replace every outermost copy of these axes by what `change` makes of it (given the limits
    around it). An axis that is not there, having run once only, changes nothing."""
    return kernel.with_body(_with_loops(kernel.body, {}, axes, change))


def _with_loops(
    block: Block, bounds: Bounds, axes: Collection[str], change: Callable[[Loop, Bounds], Block]
) -> Block:
    """A block of `rewrite_loops`, within the limits of the loops around it."""
    result: list[Stmt] = []
    for stmt in block:
        inner = bounds
        if isinstance(stmt, Loop):
            if base(stmt.axis) in axes:
                result.extend(change(stmt, bounds))
                continue
            inner = {**bounds, stmt.axis: loop_bounds(stmt, bounds)}
        part = partial(_with_loops, bounds=inner, axes=axes, change=change)
        result.append(map_blocks(stmt, part))
    return tuple(result)


def chain(loop: Loop) -> tuple[list[Loop], Block]:
    """The perfectly nested loops from this one on, and the body of the innermost."""
    loops = [loop]
    while len(loops[-1].body) == 1 and isinstance(loops[-1].body[0], Loop):
        loops.append(loops[-1].body[0])
    return loops, loops[-1].body


def nest(loops: list[Loop], body: Block) -> Block:
    """Loops around a body, the first outermost."""
    for loop in reversed(loops):
        body = (replace(loop, body=body),)
    return body


def loops_over(
    axes: Iterable[tuple[str, int]], body: Block, kind: Kind = Kind.SERIAL
) -> Block:
    """Loops from 0 over these axes and extents around a body, the first outermost."""
    for axis, extent in reversed(tuple(axes)):
        body = (Loop(axis, index(0), index(extent), body, kind),)
    return body


def accesses(block: Block) -> Iterator[tuple[str, tuple[Expr, ...], bool]]:
    """Every access in a block: buffer, indices, and whether it is a write."""
    for stmt in walk(block):
        for load in loads_in(stmt):
            yield load.buffer, load.indices, False
        for target in targets_of(stmt):
            yield target.buffer, target.indices, True


def names_read(block: Block) -> frozenset[str]:
    """The axes and names that expressions in a block use."""
    return frozenset(
        name for stmt in walk(block) for expr in expressions_of(stmt) for name in vars_of(expr)
    )


def without_unread(kernel: Kernel) -> Kernel:
    """The kernel without the names for values that nothing reads."""
    while True:
        read = names_read(kernel.body)

        def kept(block: Block, read: frozenset[str] = read) -> Block:
            return tuple(
                map_blocks(stmt, kept)
                for stmt in block
                if not isinstance(stmt, Let) or stmt.name in read
            )

        body = kept(kernel.body)
        if body == kernel.body:
            return kernel
        kernel = kernel.with_body(body)


def without_aliases(kernel: Kernel) -> Kernel:
    """The kernel without names of indices that are constants or other names, but for names of axes
    that are written out: those tell which steps have one address each."""
    loops = (stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop))
    written_out = {loop.axis for loop in loops if loop.kind is Kind.UNROLL}
    plain: dict[str, Expr] = {}

    def is_plain(value: Expr) -> bool:
        match value:
            case Const() | Var():
                return value.dtype == INDEX and vars_of(value).isdisjoint(written_out)
        return False

    def put(expr: Expr) -> Expr:
        if vars_of(expr).isdisjoint(plain):
            return expr
        return simplify(substitute_vars(expr, plain), {})

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            stmt = map_own(stmt, put)
            match stmt:
                case Let(name=name, value=value) if is_plain(value):
                    plain[name] = value
                case _:
                    result.append(map_blocks(stmt, visit))
        return tuple(result)

    return kernel.with_body(visit(kernel.body))


def map_refs(block: Block, visit: Callable[[Ref], Ref]) -> Block:
    """Every written element of a block replaced."""
    result: list[Stmt] = []
    for inner in block:
        stmt = map_blocks(inner, partial(map_refs, visit=visit))
        if isinstance(stmt, Store):
            stmt = replace(stmt, target=visit(stmt.target))
        elif isinstance(stmt, Accumulate):
            stmt = replace(stmt, targets=tuple(visit(target) for target in stmt.targets))
        result.append(stmt)
    return tuple(result)


def written_first(block: Block, name: str) -> bool:
    """Whether the first statement that touches a buffer is a store to it; in a branch that may not
    be taken, one that nothing after the branch reads."""
    touching = (place for place, stmt in enumerate(block) if _touches((stmt,), name))
    place = next(touching, None)
    if place is None:
        return False
    first = block[place]
    outside = accesses((map_blocks(first, lambda _: ()),))
    own = [writes for used, _, writes in outside if used == name]
    if own:
        return isinstance(first, Store) and all(own)
    parts = [part for part in blocks_of(first) if _touches(part, name)]
    if not all(written_first(part, name) for part in parts):
        return False
    if not isinstance(first, If) or len(parts) == 2:
        return True
    place = next(touching, None)
    return place is None or written_first(block[place:], name)


def _touches(block: Block, name: str) -> bool:
    return any(used == name for used, _, _ in accesses(block))


def _runs_once(loop: Loop) -> bool:
    """Whether the loop says nothing: one over lanes says that the first thread does it alone."""
    return extent_of(loop) == 1 and loop.kind is not Kind.LANE


def tidy(kernel: Kernel) -> Kernel:
    """Simplify every expression by the limits of its loops; drop loops that run once or never and
    conditions that are decided."""
    return kernel.with_body(_tidied(kernel.body, {}))


def _tidied(block: Block, bounds: Bounds) -> Block:
    """A block of `tidy`, within the limits of the loops around it."""
    result: list[Stmt] = []
    for stmt in block:
        stmt = map_own(stmt, lambda expr: simplify(expr, bounds))
        match stmt:
            case Loop(start=Const(), stop=Const()) if extent_of(stmt) == 0:
                continue
            case Loop(start=Const(), stop=Const()) if _runs_once(stmt):
                once = substitute_block(stmt.body, {stmt.axis: stmt.start})
                result.extend(_tidied(once, bounds))
            case Loop():
                inner = {**bounds, stmt.axis: loop_bounds(stmt, bounds)}
                body = _tidied(stmt.body, inner)
                if body:
                    result.append(Loop(stmt.axis, stmt.start, stmt.stop, body, stmt.kind))
            case If(condition=Const(value=decided)):
                result.extend(_tidied(stmt.then if decided else stmt.otherwise, bounds))
            case If():
                then, otherwise = _tidied(stmt.then, bounds), _tidied(stmt.otherwise, bounds)
                if then or otherwise:
                    result.append(If(stmt.condition, then, otherwise))
            case Async():
                result.append(replace(stmt, body=_tidied(stmt.body, bounds)))
            case _:
                result.append(stmt)
    return tuple(result)

