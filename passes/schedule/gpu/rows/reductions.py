"""Reductions of rows that lie side by side in memory, found in any nest: softmax, norms, sums.

    for i: {acc = -inf;  for k: acc max= x[i, k];  for j: t[j] = exp(x[i, j] - acc);  ..
            for q: y[i, q] = t[q] * scale}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .....expr import Bounds, Expr, Load, index, loads_of, rewrite_expr, substitute_vars, vars_of
from .....tile.analyses.dependence import static_bounds
from .....tile.nodes import Accumulate, Block, Buffer, If, Kernel, Let, Loop, Space, Stmt, Store
from .....tile.traverse import expressions_of, loads_within, map_expressions
from .....tile.tree import accesses, chain, extent_of, has_constant_limits, nest, var
from ...analysis import stride, updates
from ..wide import is_wide, sure_loads
from ..work import body_of

LEAST = 4  # elements of a row: shorter ones are a thread's
ELEMENT = "element#"  # stands for the axis of any loop over a row


@dataclass(frozen=True)
class Rows:
    """A kernel that does the same for every iteration of `loops`: its body are statements on
    registers, and loops over `extent` elements of a row."""

    kernel: Kernel
    loops: tuple[Loop, ...]
    extent: int

    @property
    def body(self) -> Block:
        return body_of(self.kernel, list(self.loops))

    @property
    def row_loops(self) -> tuple[Loop, ...]:
        return tuple(stmt for stmt in self.body if isinstance(stmt, Loop))

    @cached_property
    def bounds(self) -> Bounds:
        return static_bounds(self.kernel.body)

    @property
    def locals(self) -> tuple[Buffer, ...]:
        """The buffers that have an element for each of a row."""
        return tuple(local for local in self.kernel.locals if local.space is Space.SHARED)

    def with_body(self, body: Block, locals: tuple[Buffer, ...]) -> Rows:
        """The same rows, with another body and other local buffers."""
        if not self.loops:
            return replace(self, kernel=replace(self.kernel, body=body, locals=locals))
        (whole,) = nest(list(self.loops), body)
        assert isinstance(whole, Loop)
        kernel = replace(self.kernel, body=(whole,), locals=locals)
        return replace(self, kernel=kernel, loops=tuple(chain(whole)[0][: len(self.loops)]))

    def moving(self, loop: Loop) -> Iterator[tuple[Buffer, tuple[Expr, ...]]]:
        """The accesses of memory that move along the row."""
        for name, indices, _ in accesses(loop.body):
            buffer = self.kernel.buffers[name]
            moves = any(loop.axis in vars_of(part) for part in indices)
            if moves and buffer.space is Space.GLOBAL:
                yield buffer, indices

    def loads(self, loop: Loop) -> tuple[Load, ...]:
        """What a loop reads of memory along the row whatever the data are, by `ELEMENT`."""
        found = (
            named(load, loop.axis)
            for stmt in loop.body
            for expr in expressions_of(stmt)
            for load in sure_loads(expr, self.kernel.buffers, self.bounds)
            if self.kernel.buffers[load.buffer].space is Space.GLOBAL
            and any(loop.axis in vars_of(part) for part in load.indices)
        )
        return tuple(dict.fromkeys(found))

    def width(self, most: int) -> int:
        """How many neighbours everything that moves along a row can have at once, or 1."""
        bounds = self.bounds
        every = [(loop, *access) for loop in self.row_loops for access in self.moving(loop)]
        all_sure = all(self._is_sure(loop) for loop in self.row_loops)
        width = most // max(buffer.dtype.bytes for _, buffer, _ in every)
        while width > 1:
            whole = all_sure and self.extent % width == 0
            if whole and all(is_wide(to, at, loop.axis, width, bounds) for loop, to, at in every):
                return width
            width //= 2
        return 1

    def _is_sure(self, loop: Loop) -> bool:
        """Whether what a loop reads along the row does not depend on the data."""
        read = {
            named(load, loop.axis)
            for load in loads_within(loop.body)
            if any(loop.axis in vars_of(part) for part in load.indices)
            and self.kernel.buffers[load.buffer].space is Space.GLOBAL
        }
        return read <= set(self.loads(loop))


def named(load: Load, axis: str) -> Load:
    """A load with the axis of its loop under one name for all loops."""
    at = {axis: var(ELEMENT)}
    return replace(load, indices=tuple(substitute_vars(part, at) for part in load.indices))


def as_rows(kernel: Kernel, loops: Sequence[Loop]) -> Rows | None:
    """The rows that a kernel of independent loops reduces, if threads side by side should read what
    lies side by side in them."""
    body = body_of(kernel, list(loops))
    inner = [stmt for stmt in body if isinstance(stmt, Loop)]
    if not inner or not all(map(has_constant_limits, inner)):
        return None
    extents = {(extent_of(loop), loop.start) for loop in inner}
    rows = Rows(kernel, tuple(loops), extent_of(inner[0]))
    if extents != {(rows.extent, index(0))} or rows.extent < LEAST or not updates(tuple(inner)):
        return None
    scalars = {local.name for local in kernel.locals if local.space is Space.REGISTER}
    single = all(local.elements == 1 for local in kernel.locals if local.name in scalars)
    alone = all(isinstance(stmt, (Loop, Store)) for stmt in body)
    loops_fit = all(_is_map(loop, scalars) or _is_sum(loop, scalars) for loop in inner)
    if not single or not alone or not loops_fit or not _private(rows) or _reads_results(kernel):
        return None
    return rows if _lies_along(rows) else None


def _is_map(loop: Loop, scalars: set[str]) -> bool:
    """Whether a loop stores elements, and nothing in registers."""
    stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
    plain = all(isinstance(stmt, (Store, Let)) for stmt in loop.body)
    moving = all(any(loop.axis in vars_of(at) for at in stmt.target.indices) for stmt in stores)
    return plain and moving and not any(stmt.target.buffer in scalars for stmt in stores)


def _is_sum(loop: Loop, scalars: set[str]) -> bool:
    """Whether a loop joins values into registers in one statement, under a condition or not."""
    match loop.body:
        case (Accumulate() as update,) | (If(then=(Accumulate() as update,), otherwise=()),):
            return all(target.buffer in scalars for target in update.targets)
    return False


def _private(rows: Rows) -> bool:
    """Whether each element of a row's own buffers is touched where the loops stand only."""
    own = {local.name for local in rows.locals}
    for stmt in rows.body:
        place = (var(stmt.axis),) if isinstance(stmt, Loop) else None
        if any(name in own and at != place for name, at, _ in accesses((stmt,))):
            return False
    return all(local.shape == (rows.extent,) for local in rows.locals)


def _reads_results(kernel: Kernel) -> bool:
    return any(name in kernel.outputs and not writes for name, _, writes in accesses(kernel.body))


def _lies_along(rows: Rows) -> bool:
    """Whether memory has neighbours of a row side by side, rather than those of several rows."""
    along, across, beside = 0, 0, False
    for loop in rows.row_loops:
        for buffer, indices in rows.moving(loop):
            step = stride(buffer, indices, loop.axis)
            along += step not in (0, 1)
            beside |= step == 1
            if rows.loops:
                across += stride(buffer, indices, rows.loops[-1].axis) not in (0, 1)
    return beside and along <= across


def recomputed(rows: Rows) -> Rows | None:
    """The rows without buffers of their own, whose elements are computed again wherever they are
    read: for rows that no registers hold. None where that cannot be.

    for j: t[j] = f(j);  for k: acc += t[k];  ..   ->   for k: acc += f(k);  ..
    """
    values: dict[str, tuple[str, Expr]] = {}
    body: list[Stmt] = []
    for stmt in rows.body:
        written = {name for name, _, writes in accesses((stmt,)) if writes}
        if any(load.buffer in written for _, value in values.values() for load in loads_of(value)):
            return None  # what they are computed of is another by then
        stmt = _with_values(stmt, values)
        match stmt:
            case Loop(axis=axis, body=(Store(target=target, value=value),)) if (
                target.buffer in {local.name for local in rows.locals}
            ):
                values[target.buffer] = (axis, value)
            case _:
                body.append(stmt)
    kept = tuple(local for local in rows.kernel.locals if local not in rows.locals)
    used = {name for name, _, _ in accesses(tuple(body))}
    if any(local.name in used for local in rows.locals):
        return None
    return rows.with_body(tuple(body), kept)


def _with_values(stmt: Stmt, values: dict[str, tuple[str, Expr]]) -> Stmt:
    def visit(expr: Expr) -> Expr:
        for load in tuple(dict.fromkeys(loads_of(expr))):
            if load.buffer in values:
                axis, value = values[load.buffer]
                expr = _swapped(expr, load, substitute_vars(value, {axis: load.indices[0]}))
        return expr

    (changed,) = map_expressions((stmt,), visit)
    return changed


def _swapped(expr: Expr, old: Expr, new: Expr) -> Expr:
    return rewrite_expr(expr, lambda node: new if node == old else None)
