"""Schedule steps that ask for memory before it is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from math import prod
from types import MappingProxyType

from ...expr import (
    Expr,
    affine,
    apply,
    bounds_of,
    index,
    simplify,
    substitute_vars,
    vars_of,
)
from ...sizes import round_up
from ..instructions.table import LINE_BYTES, prefetch_name
from ..nodes import Block, Buffer, Call, Kernel, Kind, Loop, Stmt, Window
from ..traverse import loads_within, map_blocks, walk
from ..tree import base, chain, extent_of, has_constant_limits, var

MOST_LINES = 8  # that an iteration reads of one parameter
_MOST_ITERATIONS = 1 << 31  # limits above are those of an unknown


def prefetch_next(
    kernel: Kernel,
    buffer: str,
    axis: str,
    reduction: str,
    repeats: Collection[str] = (),
    *,
    distance: int | None = None,
    places: int = 1,
    spread: bool = False,
    after: Mapping[str, Expr] = MappingProxyType({}),
) -> Kernel:
    """While a reduction reads the piece of `buffer` that belongs to one iteration of `axis`, ask
    for the piece that the next iteration reads: some lines a step, over as many of the last
    iterations of the loops `repeats` as it takes. Pieces must follow one another in memory.

    A piece too large for that, or read once only, is itself asked for, `distance` elements ahead.
    Where pieces do not follow one another, `after` says what the axes are for the next one; then a
    piece is what the reduction reads, which lies in one place.

    for n: for m: {acc = 0; for k: acc += a[m, k] * b[n, k]; ..}
      ->  for n: for m: {acc = 0; for k: {prefetch(b[n, m * K + k + K]);  acc += ..}; ..}

    The next piece may be asked for at several `places` in turn, in equal parts; or, where there are
    more iterations than it takes, `spread` over all of them, as it lies, each line more than once.
    """
    asking = _Prefetch(kernel, buffer, axis, reduction, repeats, distance, places, spread, after)
    return kernel.with_body(asking.block(kernel.body))


def prefetch_streams(kernel: Kernel, distance: int, *, last: bool = False) -> Kernel:
    """Have the innermost loops that run at run time ask for what they will read `distance` bytes
    further on, of the parameters that they read from one end to the other. The first loop that
    reads a parameter asks, for the others to find it; or the last one does, for the first to find
    what it will read in its next turns.

    for i.o: vector i.i: y[i.o, i.i] = f(x[i.o, i.i])
      ->  for i.o: {prefetch(x[i.o, ahead]);  vector i.i: y[i.o, i.i] = f(x[i.o, i.i])}
    """
    inputs = {param.name: param for param in kernel.params if param.name not in kernel.outputs}
    asked: set[str] = set()

    def visit(block: Block) -> Block:
        return tuple(map(visited, block[::-1]))[::-1] if last else tuple(map(visited, block))

    def visited(stmt: Stmt) -> Stmt:
        if not isinstance(stmt, Loop) or any(map(runs, _loops(stmt.body))):
            return map_blocks(stmt, visit)
        return replace(stmt, body=(*requests(stmt), *stmt.body)) if runs(stmt) else stmt

    def requests(loop: Loop) -> list[Stmt]:
        inside = {stmt.axis: stmt for stmt in _loops(loop.body)}
        inner = {axis: index(0) for axis in inside}
        found: list[Stmt] = []
        for load in loads_within(loop.body):
            buffer = inputs.get(load.buffer)
            if buffer is None or buffer.layout is not None or load.buffer in asked:
                continue
            place = tuple(simplify(substitute_vars(part, inner), {}) for part in load.indices)
            step = affine(_flat(buffer, place), loop.axis)
            line = LINE_BYTES // buffer.dtype.bytes
            used = frozenset().union(*map(vars_of, load.indices))
            read = prod(extent_of(stmt) for axis, stmt in inside.items() if axis in used)
            if step is None or step[0] != read or not line <= read <= MOST_LINES * line:
                continue
            asked.add(load.buffer)
            for part in range(read // line):
                at = place[-1] + (distance // buffer.dtype.bytes + part * line)
                window = Window(load.buffer, (*place[:-1], simplify(at, {})))
                found.append(Call(prefetch_name(buffer.dtype), (window,)))
        return found

    return kernel.with_body(visit(kernel.body))


def prefetch_rows(
    kernel: Kernel, buffer: str, axis: str, *, distance: int | None = None
) -> Kernel:
    """Where a loop goes along some rows of `buffer` side by side in vectors, counted by the
    unrolled loop `axis`, ask for the same place in as many rows below; or, if a `distance` is
    given, so many bytes further on in each of the rows, which is soon.

    for n.o: unroll k.i in 0..2: vector n.i: acc[n.i] += b[k.o * 2 + k.i, n.o, n.i]
      ->  for n.o: {prefetch(b[k.o * 2 + 2, n.o, 0]);  prefetch(b[k.o * 2 + 3, n.o, 0]);
                    unroll k.i in 0..2: vector n.i: ..}
    """

    def visit(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Loop) and runs(stmt) and not any(map(runs, _loops(stmt.body))):
            rows = next((loop for loop in _loops(stmt.body) if base(loop.axis) == axis), None)
            requests = () if rows is None else tuple(ahead(stmt, rows))
            return replace(stmt, body=(*requests, *stmt.body))
        return map_blocks(stmt, lambda block: tuple(map(visit, block)))

    def ahead(along: Loop, rows: Loop) -> Iterator[Stmt]:
        load = next((load for load in loads_within(rows.body) if load.buffer == buffer), None)
        if load is None:
            return
        first = {loop.axis: loop.start for loop in _loops(along.body)}
        below = extent_of(rows) if distance is None else 0
        for row in range(extent_of(rows)):
            moved = {**first, rows.axis: rows.start + (below + row)}
            *outer, last = (substitute_vars(part, moved) for part in load.indices)
            at = last + (distance or 0) // load.dtype.bytes
            window = Window(buffer, tuple(simplify(part, {}) for part in (*outer, at)))
            yield Call(prefetch_name(load.dtype, soon=distance is not None), (window,))

    return kernel.with_body(tuple(map(visit, kernel.body)))


def runs(loop: Loop) -> bool:
    """Whether a loop is one in the machine code, too."""
    return loop.kind not in (Kind.VECTOR, Kind.UNROLL)


@dataclass(frozen=True)
class _Prefetch:
    kernel: Kernel
    buffer: str
    axis: str
    reduction: str
    repeats: Collection[str]
    distance: int | None
    places: int
    spread: bool
    after: Mapping[str, Expr]

    def block(self, block: Block, outside: tuple[Loop, ...] = ()) -> Block:
        """The block with requests in the first of the reductions that share a piece: the others
        find the next piece asked for."""
        result: list[Stmt] = []
        done = False
        for stmt in block:
            if not isinstance(stmt, Loop):
                result.append(map_blocks(stmt, lambda part: self.block(part, outside)))
                continue
            inside = any(base(loop.axis) == self.axis for loop in outside)
            changed: Stmt = stmt
            if not (done and inside):
                if base(stmt.axis) == self.reduction:
                    changed = self._requests(stmt, outside)
                else:
                    changed = replace(stmt, body=self.block(stmt.body, (*outside, stmt)))
                done = changed != stmt
            result.append(changed)
        return tuple(result)

    def _requests(self, first: Loop, outside: tuple[Loop, ...]) -> Loop:
        """The reduction with requests at the start of its innermost body."""
        loops, body = reduction_of(first)
        rounds = [loop for loop in outside if base(loop.axis) in self.repeats]
        pieces = [loop for loop in outside if base(loop.axis) == self.axis]
        known = all(map(has_constant_limits, loops)) and all(map(_longest, rounds))
        place = self._place(body, first, rounds)
        if not pieces or not known or place is None:
            return first
        buffer = self.kernel.buffers[self.buffer]
        size = self._size(place, first, pieces[0])
        if size is None:
            return first
        line = LINE_BYTES // buffer.dtype.bytes
        steps = prod(map(extent_of, loops))
        times = prod(map(_longest, rounds))
        count = -(-size // (line * steps * times))
        if self.distance is not None:
            at = counted(loops) * (count * line) + self.distance
        else:
            at = self._next(loops, rounds, size, count) + (0 if self.after else size)
        if self.after:
            place = tuple(substitute_vars(part, self.after) for part in place)
        requests = tuple(
            Call(
                prefetch_name(buffer.dtype),
                (Window(self.buffer, (*place[:-1], simplify(place[-1] + at + part * line, {}))),),
            )
            for part in range(count)
        )
        inner: Block = (*requests, *body)
        for loop in reversed(loops):
            inner = (replace(loop, body=inner),)
        (made,) = inner
        assert isinstance(made, Loop)
        return made

    def _next(self, loops: list[Loop], rounds: list[Loop], size: int, count: int) -> Expr:
        """Where in the next piece, of this `size`, to ask for `count` lines."""
        line = LINE_BYTES // self.kernel.buffers[self.buffer].dtype.bytes
        steps, times = prod(map(extent_of, loops)), prod(map(_longest, rounds))
        idle = times - -(-size // (line * steps * count))
        if self.spread and idle:
            return counted([*rounds, *loops]) * -(-size // (steps * times))
        # The last rounds ask, so that the next piece does not drive out the one in use.
        turn = apply("max", counted(rounds) - idle, index(0)) if rounds else index(0)
        number, moved = turn * steps + counted(loops), count * line
        if self.places == 1:
            return number * moved
        part = round_up(-(-size // self.places), line)
        return number % self.places * part + number // self.places * moved

    def _size(self, place: tuple[Expr, ...], first: Loop, piece: Loop) -> int | None:
        """The elements of a piece: as many as lie between two, or as the reduction reads."""
        if not self.after:
            moved = affine(_flat(self.kernel.buffers[self.buffer], place), piece.axis)
            return moved[0] if moved else None
        loads = (load for load in loads_within((first,)) if load.buffer == self.buffer)
        used = frozenset().union(*map(vars_of, next(loads).indices))
        return prod(extent_of(loop) for loop in _loops((first,)) if loop.axis in used)

    def _place(self, body: Block, first: Loop, rounds: list[Loop]) -> tuple[Expr, ...] | None:
        """Where the piece in use begins: the buffer's index, all loops that read it at 0."""
        axes = {loop.axis for loop in (first, *_loops((first,)), *rounds)}
        start = {axis: index(0) for axis in axes}
        calls = (stmt for stmt in walk(body) if isinstance(stmt, Call))
        windows = ((part.buffer, part.offsets) for call in calls for part in call.windows)
        loads = ((load.buffer, load.indices) for load in loads_within(body))
        for buffer, indices in (*loads, *windows):
            if buffer == self.buffer:
                places = (substitute_vars(part, start) for part in indices)
                return tuple(simplify(part, {}) for part in places)
        return None


def _flat(buffer: Buffer, place: tuple[Expr, ...]) -> Expr:
    """The position in memory of an element."""
    flat: Expr = index(0)
    for part, extent in zip(place, buffer.memory_shape, strict=True):
        flat = flat * extent + part
    return flat


def reduction_of(first: Loop) -> tuple[list[Loop], Block]:
    """The loops of a reduction that run at run time, and the body of the innermost."""
    loops = list(takewhile(lambda loop: loop.kind is first.kind, chain(first)[0]))
    return loops, loops[-1].body


def _loops(block: Block) -> list[Loop]:
    return [stmt for stmt in walk(block) if isinstance(stmt, Loop)]


def counted(loops: list[Loop]) -> Expr:
    """The number of an iteration of nested loops."""
    count: Expr = index(0)
    for loop in loops:
        count = count * _longest(loop) + (var(loop.axis) - loop.start)
    return count


def _longest(loop: Loop) -> int:
    """The iterations of the longest chunk of a loop; 0 where nothing limits them."""
    _, most = bounds_of(loop.stop - loop.start, {})
    return most if most < _MOST_ITERATIONS else 0
