"""Schedule steps on reductions: sinking tile loops into them, splitting their accumulators,
lifting guards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TypeAlias, TypeVar

from ..expr import (
    COMBINERS,
    TRUE,
    Apply,
    Bounds,
    Cast,
    Const,
    Expr,
    Load,
    all_of,
    cast,
    const,
    index,
    loads_of,
    rewrite_expr,
    vars_of,
)
from .nodes import Accumulate, Block, Buffer, If, Kernel, Kind, Loop, Ref, Space, Stmt, Store
from .traverse import map_blocks, map_expressions, walk
from .tree import (
    Names,
    accesses,
    base,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    loops_of,
    map_refs,
    nest,
    rewrite_loops,
    tidy,
    var,
)

T = TypeVar("T")
Place: TypeAlias = tuple[Expr, ...]  # the indices of an access


def sink(kernel: Kernel, axes: Sequence[str]) -> Kernel:
    """Move perfectly nested tile loops inside the reduction in their body; accumulators get an
    element per iteration of the tile.

    for i: {acc = 0; for k: acc += f; y[i] = acc}
      ->  for i: acc[i] = 0;  for k: for i$1: acc[i$1] += f;  for i$2: y[i$2] = acc[i$2]

    The lanes of a vector loop lie side by side: its axis is the last of the accumulators' axes.
    """
    names = Names(kernel)
    in_lanes = any(loop.kind is Kind.VECTOR for loop in loops_of(kernel, axes[-1]))
    leading = len(axes) - 1 if in_lanes else len(axes)

    def around(outer: tuple[T, ...], own: tuple[T, ...]) -> tuple[T, ...]:
        return (*outer[:leading], *own, *outer[leading:])

    grown: dict[str, Buffer] = {}

    def change(loop: Loop, _: Bounds) -> Block:
        loops, body = chain(loop)
        tile = list(takewhile(lambda entry: base(entry.axis) in axes, loops))
        body = nest(loops[len(tile) :], body)
        # An axis that ran once has vanished from this copy; its place in the accumulators stays.
        present = {base(entry.axis): entry for entry in tile}
        extents = tuple(extent_of(present[axis]) if axis in present else 1 for axis in axes)
        private = _registers_in(kernel, body)
        for name in private:
            buffer = kernel.buffers[name]
            shape = around(extents, buffer.shape)
            # Cut copies of a tile share a name; the buffer takes the largest.
            before = grown[name].shape if name in grown else shape
            grown[name] = replace(buffer, shape=tuple(map(max, before, shape)))
        at = tuple(
            var(present[axis].axis) - present[axis].start if axis in present else index(0)
            for axis in axes
        )
        body = _indexed(body, private, lambda own: around(at, own))
        return _pushed(tile, body, names, first=True)

    result = rewrite_loops(kernel, axes, change)
    ranks = {name: len(buffer.shape) for name, buffer in grown.items()}
    buffers = tuple(grown.get(buffer.name, buffer) for buffer in kernel.locals)
    # Accesses outside of every tile, whose loops all ran once, get the accumulators' rank.
    zeros = (index(0),) * len(axes)
    body = _indexed(
        result.body,
        frozenset(grown),
        lambda own: around(zeros, own),
        where=lambda name, own: len(own) < ranks[name],
    )
    return tidy(replace(result, body=body, locals=buffers))


def _registers_in(kernel: Kernel, block: Block) -> frozenset[str]:
    """The register buffers a block uses."""
    used = {name for name, _, _ in accesses(block)}
    return frozenset(
        buffer.name
        for buffer in kernel.locals
        if buffer.space is Space.REGISTER and buffer.name in used
    )


def _indexed(
    block: Block,
    names: frozenset[str],
    change: Callable[[Place], Place],
    *,
    where: Callable[[str, Place], bool] = lambda name, own: True,
) -> Block:
    """Change the indices of every access to these buffers (or of those that `where` picks)."""

    def visit(node: Expr) -> Expr | None:
        if isinstance(node, Load) and node.buffer in names and where(node.buffer, node.indices):
            return Load(node.dtype, node.buffer, change(node.indices))
        return None

    def moved(ref: Ref) -> Ref:
        if ref.buffer in names and where(ref.buffer, ref.indices):
            return Ref(ref.buffer, change(ref.indices))
        return ref

    return map_refs(map_expressions(block, lambda expr: rewrite_expr(expr, visit)), moved)


def _pushed(tile: list[Loop], body: Block, names: Names, *, first: bool) -> Block:
    """The statements of `body`, each run of plain ones (and each innermost part of a reduction)
    in its own copy of the tile loops."""
    axes = {loop.axis for loop in tile}
    result: list[Stmt] = []
    plain: list[Stmt] = []

    def flush() -> None:
        nonlocal first
        if not plain:
            return
        wrapped = nest(tile, tuple(plain))
        result.extend(wrapped if first else copy_block(wrapped, names))
        first = False
        plain.clear()

    for stmt in body:
        reduces = isinstance(stmt, Loop) and stmt.kind is Kind.SERIAL
        uniform = isinstance(stmt, If) and not vars_of(stmt.condition) & axes
        if reduces or uniform:
            flush()
            result.append(
                map_blocks(stmt, lambda part: _pushed(tile, part, names, first=False))
            )
        else:
            plain.append(stmt)
    flush()
    return tuple(result)


def split_accumulator(kernel: Kernel, axes: Sequence[str]) -> Kernel:
    """Give each iteration of the innermost reduction loops `axes` an accumulator of its own, and
    join them at the end. The order of joining is fixed, so the result is too.

    acc = 0; for k.o: for k.i: acc += f
      ->  for k.i: part[k.i] = 0;  for k.o: for k.i$1: part[k.i$1] += f;
          acc = 0; for k.i$2: acc += part[k.i$2]
    """
    names = Names(kernel)
    parts: list[Buffer] = []

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            if isinstance(stmt, Loop) and _holds(stmt, axes):
                result.extend(split_one(stmt))
            else:
                result.append(map_blocks(stmt, visit))
        return tuple(result)

    def split_one(loop: Loop) -> Block:
        loops, tile, body = _reduction(loop, axes)
        (update,) = [stmt for stmt in walk(body) if isinstance(stmt, Accumulate)]
        extents = tuple(extent_of(entry) for entry in tile)
        at = tuple(var(entry.axis) for entry in tile)
        combiner = COMBINERS[update.combiner]
        partial: list[Ref] = []
        for target in update.targets:
            buffer = kernel.buffers[target.buffer]
            part = Buffer(names.fresh("part"), buffer.dtype, extents, Space.REGISTER)
            parts.append(part)
            partial.append(Ref(part.name, at))
        types = [kernel.buffers[target.buffer].dtype for target in update.targets]
        init = tuple(
            Store(ref, const(identity(dtype), dtype))
            for ref, identity, dtype in zip(partial, combiner.identity, types, strict=True)
        )
        inner = _replace_update(body, replace(update, targets=tuple(partial)))
        loads = tuple(
            Load(dtype, ref.buffer, ref.indices)
            for ref, dtype in zip(partial, types, strict=True)
        )
        join = Accumulate(update.combiner, update.targets, loads)
        return (
            *nest(tile, init),
            *nest(loops, copy_block(nest(tile, inner), names)),
            *copy_block(nest(tile, (join,)), names),
        )

    body = visit(kernel.body)
    return tidy(replace(kernel, body=body, locals=kernel.locals + tuple(parts)))


def _holds(loop: Loop, axes: Sequence[str]) -> bool:
    """Whether a chain of loops starting here ends in the loops `axes`, or is just those."""
    loops, body = chain(loop)
    if loop.kind is Kind.PARALLEL or not only_accumulates(body):
        return False
    inner = loops[-len(axes) :]
    if tuple(base(entry.axis) for entry in inner) != tuple(axes):
        return False
    updates = [stmt for stmt in walk(body) if isinstance(stmt, Accumulate)]
    if len(updates) != 1:
        return False
    used = frozenset().union(*(vars_of(at) for ref in updates[0].targets for at in ref.indices))
    return not used & {entry.axis for entry in inner}  # else it was split before


def _reduction(loop: Loop, axes: Sequence[str]) -> tuple[list[Loop], list[Loop], Block]:
    loops, body = chain(loop)
    count = len(loops) - len(axes)
    return loops[:count], loops[count:], body


def _replace_update(block: Block, update: Accumulate) -> Block:
    def one(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Accumulate):
            return update
        return map_blocks(stmt, lambda part: tuple(one(inner) for inner in part))

    return tuple(one(stmt) for stmt in block)


def lift_guards(kernel: Kernel) -> Kernel:
    """Turn a guarded term of a reduction into a condition, and move it out of loops it does not
    depend on. (A padded tap is left out rather than added as zero times a weight.)

    for k: acc += select(c, x, 0) * w   ->   if c: for k: acc += x * w
    """

    def visit(block: Block) -> Block:
        return tuple(part for stmt in block for part in one(stmt))

    def one(stmt: Stmt) -> Block:
        stmt = map_blocks(stmt, visit)
        match stmt:
            case Accumulate(values=(value,)):
                condition, bare = _without_guard(value, stmt.combiner)
                if condition is not None:
                    return (If(condition, (replace(stmt, values=(bare,)),)),)
            case Loop(body=(If(condition=condition, then=then, otherwise=()),)) if (
                stmt.kind in (Kind.SERIAL, Kind.UNROLL) and has_constant_limits(stmt)
            ):
                return _lifted(stmt, condition, then)
        return (stmt,)

    return kernel.with_body(visit(kernel.body))


def _lifted(loop: Loop, condition: Expr, then: Block) -> Block:
    """Split a condition into the part that depends on the loop and the part that does not."""
    inside: list[Expr] = []
    outside: list[Expr] = []
    for part in conjuncts(condition):
        (inside if loop.axis in vars_of(part) else outside).append(part)
    if not outside or not only_accumulates(then):
        return (loop,)
    body = (If(all_of(*inside), then),) if inside else then
    return (If(all_of(*outside), (replace(loop, body=body),)),)


def only_accumulates(block: Block) -> bool:
    """Whether a block does nothing but add to what it accumulates."""
    return all(isinstance(stmt, (Accumulate, Loop, If)) for stmt in walk(block))


def conjuncts(condition: Expr) -> list[Expr]:
    if isinstance(condition, Apply) and condition.function == "and":
        return [part for arg in condition.args for part in conjuncts(arg)]
    return [] if condition == TRUE else [condition]


def _without_guard(value: Expr, combiner: str) -> tuple[Expr | None, Expr]:
    """The condition under which a term counts, and the term without it.

    A condition on data stays: it differs from lane to lane, and what it reads may need a guard.
    """
    match value:
        case Apply(function="select", args=(condition, then, Const(value=fill))) if (
            fill == COMBINERS[combiner].identity[0](value.dtype)
            and not any(True for _ in loads_of(condition))
        ):
            inner, bare = _without_guard(then, combiner)
            return (condition if inner is None else all_of(condition, inner)), bare
        case Cast(value=narrow, dtype=dtype) if combiner == "sum" or narrow.dtype.is_float:
            # Its identity is the wide type's, converted.
            inner, bare = _without_guard(narrow, combiner)
            return inner, value if inner is None else cast(bare, dtype)
        case Apply(function="mul", args=(left, right)) if combiner == "sum":
            first, bare_left = _without_guard(left, combiner)
            second, bare_right = _without_guard(right, combiner)
            if first is None and second is None:
                return None, value
            return all_of(*(part for part in (first, second) if part)), bare_left * bare_right
    return None, value
