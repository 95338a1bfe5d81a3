"""A schedule step on kernels that go through rows: each row is written while the next is computed,
so that neither its stores nor the latency of its sums keep the arithmetic waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...expr import Expr, Load, apply, index, rewrite_expr, vars_of
from ..instructions.table import LINE_BYTES
from ..nodes import Block, Buffer, Kernel, Let, Loop, Ref, Space, Store
from ..traverse import map_expressions, substitute_block, walk
from ..tree import (
    Names,
    accesses,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    map_refs,
    nest,
    tidy,
    var,
)

TURNS = 2  # rows of which something is kept: the one that is computed, the one that is written


def stagger(kernel: Kernel, count: int) -> Kernel:
    """Run the last loop over each row, which stores its results, in a loop over the next row, by
    blocks of `count` rows, which divides them. Stays as it is for a block of one row, where no
    other loop is as long, or the last one reads more of its row than local buffers hold.

    for i: {for j: t[j] = f(i, j);  for k: y[i, k] = g(t[k])}
      ->  for i.o: {for j: t[0, j] = f(i.o * count, j);
                    for i.i in 1..count: for j: {t[i.i mod 2, j] = f(i.o * count + i.i, j);
                                                 y[.., j] = g(t[(i.i - 1) mod 2, j])};
                    for k: y[.., k] = g(t[(count - 1) mod 2, k])}
    """
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Loop):
        return kernel
    loops, body = chain(kernel.body[0])
    rows, place = loops[-1], _host(body)
    whole = rows.start == index(0) and has_constant_limits(rows) and count > 1
    if place is None or not whole or extent_of(rows) % count:
        return kernel
    written = {name for name, _, writes in accesses(body[:-1]) if writes}
    read = {name for name, _, writes in accesses(body[-1:]) if not writes}
    kept = {
        buffer.name: replace(buffer, shape=_twice(buffer))
        for buffer in kernel.locals
        if buffer.name in written & read and buffer.space is Space.SHARED
    }
    if kept.keys() != written & read or not _is_late(body, rows.axis):
        return kernel
    made = _Rows(rows.axis, count, kept).block(body, place, Names(kernel))
    blocks = replace(rows, axis=f"{rows.axis}.o", stop=index(extent_of(rows) // count))
    local = tuple(kept.get(buffer.name, buffer) for buffer in kernel.locals)
    return tidy(replace(kernel, body=nest([*loops[:-1], blocks], made), locals=local))


def _is_late(body: Block, row: str) -> bool:
    """Whether the last loop of a row may run after what begins the next row: nothing else touches
    what it stores, and it reads no parameter's row, which by then has left the nearest cache."""
    used = {name for name, _, _ in accesses(body[:-1])}
    return not any(
        name in used if writes else any(row in vars_of(part) for part in indices)
        for name, indices, writes in accesses(body[-1:])
    )


def _host(body: Block) -> int | None:
    """Where the loop is in which the last one of a row may run, too."""
    last = body[-1]
    if any(isinstance(stmt, Let) for stmt in body) or not isinstance(last, Loop):
        return None
    if not has_constant_limits(last) or not all(isinstance(stmt, Store) for stmt in last.body):
        return None
    for place, stmt in reversed(list(enumerate(body[:-1]))):
        if isinstance(stmt, Loop) and not any(isinstance(part, Loop) for part in walk(stmt.body)):
            same = (stmt.start, stmt.stop) == (last.start, last.stop)
            return place if same else None
    return None


def _twice(buffer: Buffer) -> tuple[int, ...]:
    """Room for two rows, not a whole number of pages apart: a core that compares only the low bits
    of addresses would take a load from one for what is being stored to the other."""
    if not buffer.shape:
        return (TURNS,)
    *outer, inner = buffer.shape
    return (TURNS, *outer, inner + LINE_BYTES // buffer.dtype.bytes)


@dataclass(frozen=True)
class _Rows:
    """Blocks of `count` rows along `axis`, with what is `kept` of two."""

    axis: str
    count: int
    kept: Mapping[str, Buffer]

    def block(self, body: Block, place: int, names: Names) -> Block:
        """A block, of the `body` of a row, the loop at a `place` of which runs the last one."""
        *head, last = body
        host = head[place]
        assert isinstance(host, Loop) and isinstance(last, Loop)
        number = f"{self.axis}.i"
        among = list(self._row(tuple(head), var(number)))
        before = substitute_block(last.body, {last.axis: var(host.axis)})
        among[place] = replace(host, body=(
            *self._row(host.body, var(number)), *self._row(before, var(number) - 1)
        ))  # fmt: skip
        return (
            *copy_block(self._row(tuple(head), index(0)), names),
            Loop(number, index(1), index(self.count), tuple(among)),
            *self._row((last,), index(self.count - 1)),
        )

    def _row(self, block: Block, row: Expr) -> Block:
        """Statements for one row of a block."""
        turn = apply("mod", row, index(TURNS))

        def visit(node: Expr) -> Expr | None:
            if isinstance(node, Load) and node.buffer in self.kept:
                return Load(node.dtype, node.buffer, (turn, *node.indices))
            return None

        moved = map_refs(
            map_expressions(block, lambda expr: rewrite_expr(expr, visit)),
            lambda ref: Ref(ref.buffer, (turn, *ref.indices)) if ref.buffer in self.kept else ref,
        )
        return substitute_block(moved, {self.axis: var(f"{self.axis}.o") * self.count + row})
