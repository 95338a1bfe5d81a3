"""Schedule steps on kernels of several nests: running them under one loop, and keeping what each
has in registers apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...errors import VerifyError, check
from ...expr import Expr, Load, Var, index, rewrite_expr
from ..instructions.table import INSTRUCTIONS
from ..nodes import Block, Buffer, Call, Kernel, Loop, Ref, Space, Stmt
from ..traverse import map_blocks, map_expressions, substitute_block, walk
from ..tree import (
    Names,
    accesses,
    chain,
    extent_of,
    has_constant_limits,
    map_refs,
    nest,
    tidy,
    var,
    written_first,
)


def fuse_leading(kernel: Kernel, depth: int) -> Kernel:
    """Run all nests of a kernel under the first `depth` loops of the last one; local buffers keep
    only what one iteration needs.

    for i: t[i] = f;  for j: y[j] = g(t[j])   ->   for j: {t = f;  y[j] = g(t)}
    """
    chains = _chains(kernel)
    outer = chains[-1][0][:depth]
    inner: list[Stmt] = []
    for loops, body in chains:
        rename: dict[str, Expr] = {
            own.axis: var(common.axis)
            for own, common in zip(loops[:depth], outer, strict=True)
        }
        inner.extend(substitute_block(nest(loops[depth:], body), rename))
    first = {
        buffer.name: [*_long(buffer), len(buffer.shape)][depth]
        for buffer in kernel.locals
        if buffer.space is Space.SHARED and len(_long(buffer)) >= depth
    }
    body = _shortened(tuple(inner), first)
    shrunk = tuple(
        replace(buffer, shape=buffer.shape[first.get(buffer.name, 0) :])
        for buffer in kernel.locals
    )
    return tidy(replace(kernel, body=nest(outer, body), locals=shrunk))


def block_rows(kernel: Kernel, depth: int, count: int) -> Kernel:
    """Run all nests of a kernel on `count` iterations at a time of the last of the `depth` loops
    that they share; `count` divides them. Local buffers keep what one block needs.

    for i: t[i] = f(i);  for j: y[j] = g(t[j])
      ->  for j.o: {for i.i: t[i.i] = f(j.o * count + i.i);
                    for j.i: y[j.o * count + j.i] = g(t[j.i])}
    """
    chains = _chains(kernel)
    outer = chains[-1][0][:depth]
    total = extent_of(outer[-1])
    check(total % count == 0, f"{total} iterations in blocks of {count}", VerifyError)
    block = f"{outer[-1].axis}.o"
    shrunk = {
        buffer.name: _block_of(buffer, depth, count)
        for buffer in kernel.locals
        if buffer.space is Space.SHARED and len(_long(buffer)) >= depth
    }
    inner: list[Stmt] = []
    for loops, body in chains:
        row = loops[depth - 1]
        own = replace(row, axis=f"{row.axis}.i", stop=index(count))
        rename: dict[str, Expr] = {
            loop.axis: var(common.axis)
            for loop, common in zip(loops[: depth - 1], outer[:-1], strict=True)
        }
        first = {name: _long(kernel.buffers[name])[depth - 1] for name in shrunk}
        body = _shortened(nest(loops[depth:], body), first)
        body = _in_block(body, frozenset(shrunk), row.axis, own.axis, var(block) * count)
        inner.extend(substitute_block(nest([own], body), rename))
    around = [*outer[:-1], replace(outer[-1], axis=block, stop=index(total // count))]
    local = tuple(shrunk.get(buffer.name, buffer) for buffer in kernel.locals)
    return tidy(replace(kernel, body=nest(around, tuple(inner)), locals=local))


def _chains(kernel: Kernel) -> list[tuple[list[Loop], Block]]:
    """The perfectly nested loops of each nest of a kernel, and the body of the innermost."""
    tops = [stmt for stmt in kernel.body if isinstance(stmt, Loop)]
    check(len(tops) == len(kernel.body), "only loops can be fused", VerifyError)
    return [chain(loop) for loop in tops]


def _block_of(buffer: Buffer, depth: int, count: int) -> Buffer:
    """A local buffer with room for `count` iterations of the innermost shared loop."""
    first = _long(buffer)[depth - 1]
    return replace(buffer, shape=(count, *buffer.shape[first + 1 :]))


def _in_block(block: Block, local: frozenset[str], row: str, own: str, start: Expr) -> Block:
    """Indices by `row` as `start + own`, those of local buffers, which begin with it, as `own`."""

    def expression(expr: Expr) -> Expr:
        def visit(node: Expr) -> Expr | None:
            if isinstance(node, Load) and node.buffer in local:
                return Load(node.dtype, node.buffer, (var(own), *node.indices[1:]))
            return None

        return rewrite_expr(expr, visit)

    moved = map_refs(
        map_expressions(block, expression),
        lambda ref: Ref(ref.buffer, (var(own), *ref.indices[1:])) if ref.buffer in local else ref,
    )
    return substitute_block(moved, {row: start + var(own)})


def _long(buffer: Buffer) -> list[int]:
    """The dimensions that have a loop: not those of one element."""
    return [place for place, extent in enumerate(buffer.shape) if extent != 1]


def row_shape(buffer: Buffer, depth: int) -> tuple[int, ...]:
    """The sizes, other than 1, that `fuse_leading` leaves of a local buffer."""
    return tuple(buffer.shape[place] for place in _long(buffer)[depth:])


def _shortened(block: Block, first: Mapping[str, int]) -> Block:
    """Accesses to these buffers without the indices before the `first` that stays."""

    def expression(expr: Expr) -> Expr:
        def visit(node: Expr) -> Expr | None:
            if isinstance(node, Load) and node.buffer in first:
                return Load(node.dtype, node.buffer, node.indices[first[node.buffer] :])
            return None

        return rewrite_expr(expr, visit)

    return map_refs(
        map_expressions(block, expression),
        lambda ref: Ref(ref.buffer, ref.indices[first.get(ref.buffer, 0) :]),
    )


def common_depth(kernel: Kernel) -> int:
    """How many leading loops all nests share: equal extents, and every access to what one nest
    writes for another made at exactly those loops' axes."""
    tops = [stmt for stmt in kernel.body if isinstance(stmt, Loop)]
    if len(tops) != len(kernel.body) or not tops:
        return 0
    chains = [chain(loop)[0] for loop in tops]
    depth = min(len(loops) for loops in chains)
    shared = {buffer.name for buffer in kernel.locals if buffer.space is Space.SHARED}
    shared.update(kernel.outputs)

    def splits(top: Loop, level: int, axis: Var) -> bool:
        """Whether an axis is at this level of each access of a nest to what nests share."""
        for name, indices, _ in accesses((top,)):
            places = _long(kernel.buffers[name]) if name in shared else ()
            if name in shared and (len(places) <= level or indices[places[level]] != axis):
                return False
        return True

    for level in range(depth):
        loops = [entry[level] for entry in chains]
        if any(not has_constant_limits(loop) for loop in loops):
            return level
        if len({extent_of(loop) for loop in loops}) != 1:
            return level
        axes = [var(loop.axis) for loop in loops]
        if not all(splits(top, level, axis) for top, axis in zip(tops, axes, strict=True)):
            return level
    return depth


def privatise(kernel: Kernel) -> Kernel:
    """Give each run of outermost statements that starts by writing a register, or a scalar of a
    row, its own copy of it, so that the iterations of one parallel loop share nothing with what
    comes after.

    for i: {acc = 0; ..};  for j: {acc = 0; ..}   ->   for i: {acc = 0; ..};  for j: {acc_1 = 0; ..}
    """
    names = Names(kernel)
    body, added = kernel.body, []
    for buffer in kernel.locals:
        if buffer.space is Space.REGISTER or not buffer.shape:
            body, copies = _apart(body, buffer, names)
            added += copies
    return replace(kernel, body=body, locals=kernel.locals + tuple(added))


def privatise_in_blocks(kernel: Kernel) -> Kernel:
    """`privatise` for the statements in a loop too, where all that use a register are in it.

    for i: {for j: {acc = 0; ..};  for k: {acc = 0; ..}}
      ->  for i: {for j: {acc = 0; ..};  for k: {acc_1 = 0; ..}}
    """
    names = Names(kernel)
    body, added = kernel.body, []

    def visit(block: Block, buffer: Buffer) -> Block:
        using = [stmt for stmt in block if any(
            name == buffer.name for name, _, _ in accesses((stmt,))
        )]
        if len(using) == 1 and isinstance(using[0], Loop):
            if not written_first(using[0].body, buffer.name):
                return block  # an iteration goes on with what the one before it left
            inner = replace(using[0], body=visit(using[0].body, buffer))
            return tuple(inner if stmt is using[0] else stmt for stmt in block)
        changed, copies = _apart(block, buffer, names)
        added.extend(copies)
        return changed

    for buffer in kernel.locals:
        if buffer.space is Space.REGISTER:
            body = visit(body, buffer)
    return replace(kernel, body=body, locals=kernel.locals + tuple(added))


def _apart(block: Block, buffer: Buffer, names: Names) -> tuple[Block, list[Buffer]]:
    """The block, each run of statements that starts by writing the buffer (but the first) with a
    copy of its own, and the copies."""
    changed, copies = list(block), []
    started = False
    for place, stmt in enumerate(block):
        if not any(name == buffer.name for name, _, _ in accesses((stmt,))):
            continue
        if written_first(block[place:], buffer.name):
            if started:
                copies.append(replace(buffer, name=names.fresh(buffer.name, "_")))
            started = True
        if copies:
            (changed[place],) = renamed((stmt,), buffer.name, copies[-1].name)
    return tuple(changed), copies


def iterations_are_private(kernel: Kernel, loop: Loop) -> bool:
    """Whether every iteration writes the local buffers it uses before it reads them, or an
    instruction adds to them; or reads only what is in memory before."""
    called = {name for stmt in walk(loop.body) for name in _used_by_instruction(stmt)}
    found = list(accesses(loop.body))
    used = called | {name for name, _, _ in found}
    changed = called | {name for name, _, writes in found if writes}
    memory = {buffer.name for buffer in kernel.locals if buffer.space is Space.SHARED}
    local = {buffer.name for buffer in kernel.locals} - (memory - changed)
    return all(
        written_first(loop.body, name) and not (name in called and _called_first(loop.body, name))
        for name in used & local
    )


def _called_first(block: Block, name: str) -> bool:
    """Whether an instruction is the first to touch a buffer."""
    for stmt in walk(block):
        if name in _used_by_instruction(stmt):
            return True
        own = map_blocks(stmt, lambda _: ())
        if any(used == name for used, _, _ in accesses((own,))):
            return False
    return False


def _used_by_instruction(stmt: Stmt) -> frozenset[str]:
    """The buffers that a call of an instruction has windows of."""
    if not isinstance(stmt, Call) or stmt.callee not in INSTRUCTIONS:
        return frozenset()
    return frozenset(window.buffer for window in stmt.windows)


def renamed(block: Block, old: str, new: str, starts: Sequence[int] = ()) -> Block:
    """Accesses to one buffer, and windows of it, made those of another; in which they begin at
    `starts`, if these are given."""

    def moved(places: tuple[Expr, ...]) -> tuple[Expr, ...]:
        if not starts:
            return places
        return tuple(place + start for place, start in zip(places, starts, strict=True))

    def expression(expr: Expr) -> Expr:
        def visit(node: Expr) -> Expr | None:
            if isinstance(node, Load) and node.buffer == old:
                return Load(node.dtype, new, moved(node.indices))
            return None

        return rewrite_expr(expr, visit)

    def calls(stmt: Stmt) -> Stmt:
        if not isinstance(stmt, Call):
            return map_blocks(stmt, lambda part: tuple(map(calls, part)))
        windows = tuple(
            replace(window, buffer=new, offsets=moved(window.offsets))
            if window.buffer == old
            else window
            for window in stmt.windows
        )
        return replace(stmt, windows=windows)

    return map_refs(
        map_expressions(tuple(map(calls, block)), expression),
        lambda ref: Ref(new, moved(ref.indices)) if ref.buffer == old else ref,
    )
