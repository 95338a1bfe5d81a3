"""Sums over a row of which one needs what another found, as one reduction: for rows that are read
from memory by each.

    for k: top max= x[k];  for k: acc += exp2((x[k] - top) * log2(e))
      ->  for k: top, acc softmax= x[k], 1
    for k: acc += x[k];  m = acc / n;  for k: acc1 += (x[k] - m) * (x[k] - m)
      ->  for k: mean, acc1, count moments= x[k], 0, 1;  acc = mean * n;  m = acc / n
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .....expr import COMBINERS, Const, Expr, Load, const, rewrite_expr, substitute_vars
from .....ops.base.body import power_below
from .....tile.nodes import Accumulate, Buffer, Loop, Ref, Space, Stmt, Store
from .....tile.tree import Names, accesses, var
from .reductions import ELEMENT, Rows


def with_joined_sums(rows: Rows) -> Rows:
    """The rows with the first pair of sums that can be had in one loop as one."""
    sums = list(_sums(rows))
    for place, first in enumerate(sums):
        for second in sums[place + 1 :]:
            made = _softmax(rows, first, second) or _moments(rows, first, second)
            if made is not None:
                return made
    return rows


@dataclass(frozen=True)
class _Sum:
    """A loop at a place in the body that joins one value of each element."""

    place: int
    loop: Loop
    target: Ref
    combiner: str
    value: Expr  # at the axis `ELEMENT`


def _sums(rows: Rows) -> Iterator[_Sum]:
    for place, stmt in enumerate(rows.body):
        match stmt:
            case Loop(axis=axis, body=(Accumulate(targets=(target,), values=(value,)) as update,)):
                element = substitute_vars(value, {axis: var(ELEMENT)})
                yield _Sum(place, stmt, target, update.combiner, element)


def _softmax(rows: Rows, first: _Sum, second: _Sum) -> Rows | None:
    """Of a maximum, and the sum of powers of what is left of the elements without it."""
    top, total = _result(first), _result(second)
    wanted = power_below(first.value - top)
    if (first.combiner, second.combiner) != ("max", "sum") or not first.value.dtype.is_float:
        return None
    if _in_terms_of_sums(rows, first, second) != wanted:
        return None
    targets = (first.target, second.target)
    update = Accumulate("softmax", targets, (first.value, const(1, total.dtype)))
    # No number where the maximum is infinite, as the sum of exp(x - top) is none.
    finish = Store(second.target, total + (top - top))
    return _joined(rows, first, second, update, finish, ())


def _moments(rows: Rows, first: _Sum, second: _Sum) -> Rows | None:
    """Of elements, and of the squares of their distances from their mean."""
    dtype = first.value.dtype
    if (first.combiner, second.combiner) != ("sum", "sum") or not dtype.is_float:
        return None
    extent = const(rows.extent, dtype)
    away = first.value - _result(first) / extent
    if _in_terms_of_sums(rows, first, second) != away * away:
        return None
    names = Names(rows.kernel)
    mean, count = (
        Buffer(names.fresh(name, "_"), dtype, (), Space.REGISTER) for name in ("mean", "count")
    )
    targets = (Ref(mean.name, ()), second.target, Ref(count.name, ()))
    values = (first.value, const(0, dtype), const(1, dtype))
    finish = Store(first.target, Load(dtype, mean.name, ()) * extent)
    update = Accumulate("moments", targets, values)
    return _joined(rows, first, second, update, finish, (mean, count))


def _result(found: _Sum) -> Load:
    return Load(found.value.dtype, found.target.buffer, found.target.indices)


def _in_terms_of_sums(rows: Rows, first: _Sum, second: _Sum) -> Expr:
    """What the second of two sums joins, with what registers hold by then as it was computed of the
    first."""
    known: dict[str, Expr] = {}

    def visit(node: Expr) -> Expr | None:
        return known.get(node.buffer) if isinstance(node, Load) else None

    for stmt in rows.body[first.place + 1 : second.place]:
        if isinstance(stmt, Store) and stmt.target.buffer not in rows.kernel.outputs:
            known[stmt.target.buffer] = rewrite_expr(stmt.value, visit)
    return rewrite_expr(second.value, visit)


def _joined(
    rows: Rows,
    first: _Sum,
    second: _Sum,
    update: Accumulate,
    finish: Store,
    more: tuple[Buffer, ...],
) -> Rows | None:
    """The rows with one loop in the place of the first of two, and `finish` behind it."""
    body = rows.body
    before, after = body[: first.place], body[second.place + 1 :]
    between = body[first.place + 1 : second.place]
    rest = tuple(stmt for stmt in between if not _is_start(stmt, second.target))
    states = {target.buffer for target in update.targets}
    changed = {name for name, _, writes in accesses(rest) if writes}
    used = {name for name, _, _ in accesses(rest)}
    if not states.isdisjoint(changed) or second.target.buffer in used:
        return None  # somebody else has a use for the registers
    identities = COMBINERS[update.combiner].identity
    starts = tuple(
        Store(target, const(identity(value.dtype), value.dtype))
        for target, identity, value in zip(update.targets, identities, update.values, strict=True)
    )
    axis = first.loop.axis
    values = tuple(substitute_vars(value, {ELEMENT: var(axis)}) for value in update.values)
    loop = replace(first.loop, body=(replace(update, values=values),))
    joined = (*before, *starts, loop, finish, *rest, *after)
    return rows.with_body(joined, (*rows.kernel.locals, *more))


def _is_start(stmt: Stmt, target: Ref) -> bool:
    return isinstance(stmt, Store) and stmt.target == target and isinstance(stmt.value, Const)
