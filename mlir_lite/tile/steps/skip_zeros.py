"""A step that leaves out of sums what zeros give: a convolution's taps that see the padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

from ...expr import (
    Apply,
    Bounds,
    Cast,
    Const,
    Expr,
    Load,
    affine,
    apply,
    bounds_of,
    index,
    loads_of,
    simplify,
    vars_of,
)
from ..instructions.table import DOTS, PREFETCHES
from ..nodes import Accumulate, Block, Call, Kernel, Kind, Loop, Stmt
from ..traverse import blocks_of, loads_in, map_blocks, substitute_block, walk
from ..tree import Names, copy_block, has_constant_limits, loop_bounds, var

LEAST_SHARE = 32  # a part of the sums, which is worth more code


def skip_zeros(kernel: Kernel, buffer: str, axis: int, first: int, last: int) -> Kernel:
    """Where the elements of `buffer` before `first` and from `last` on, along one of its axes, are
    zero: loops over taps begin after those that see nothing else and end before them. What they
    ask for beside their sums they still ask for.

    for i: for k in 0..3: for c: {prefetch(w[..]);  acc += x[i + k, c] * w[k, c]}
      ->  for i: {
            for k in 0..max(0, first - i): for c: prefetch(w[..])
            for k in max(0, first - i)..min(3, last - i): for c: {prefetch(w[..]);  acc += ..}
            for k in min(3, last - i)..3: for c: prefetch(w[..])
          }

    Where an unrolled loop moves along the axis, each tap has the turns of it that see more, if
    enough are left out.

    for k in 0..3: for c: unroll j in 0..7: acc[j] += x[j + k, c] * w[k, c]
      ->  for k in 0..1: for c: unroll j in 1..7: acc[j] += ..
          for k in 1..2: for c: unroll j in 0..7: acc[j] += ..
          for k in 2..3: for c: unroll j in 0..6: acc[j] += ..
    """
    return _Skip(kernel, buffer, axis, first, last, LEAST_SHARE).run()


def skip_outside(kernel: Kernel, buffer: str, axis: int, first: int, last: int) -> Kernel | None:
    """As `skip_zeros` where nothing else may be read, as outside of an array: None where that could
    still happen."""
    skip = _Skip(kernel, buffer, axis, first, last)
    found = skip.run()
    return None if skip.may_see_zeros(found.body, {}) else found


@dataclass(frozen=True)
class _Skip:
    kernel: Kernel
    buffer: str
    axis: int
    first: int
    last: int
    least_share: int | None = None  # all zeros are skipped without one
    done: set[str] = field(default_factory=set)  # axes of loops that see no zeros any more

    def run(self) -> Kernel:
        names = Names(self.kernel)

        def visit(block: Block, bounds: Bounds) -> Block:
            found: list[Stmt] = []
            for stmt in block:
                inside, changed = bounds, None
                if isinstance(stmt, Loop):
                    inside = {**bounds, stmt.axis: loop_bounds(stmt, bounds)}
                    changed = self._changed(stmt, bounds, names)
                    self.done.update(loop.axis for loop in changed)
                found += changed or [map_blocks(stmt, partial(visit, bounds=inside))]
            return tuple(found)

        return self.kernel.with_body(visit(self.kernel.body, {}))

    def may_see_zeros(self, block: Block, bounds: Bounds) -> bool:
        """Whether a changed block may read outside of what is not zero."""
        for stmt in block:
            for load in loads_in(stmt):
                if load.buffer == self.buffer:
                    low, high = bounds_of(simplify(load.indices[self.axis], bounds), bounds)
                    if low < self.first or high >= self.last:
                        return True
            if isinstance(stmt, Loop) and stmt.axis in self.done:
                continue
            inside = bounds
            if isinstance(stmt, Loop):
                inside = {**bounds, stmt.axis: loop_bounds(stmt, bounds)}
            if any(self.may_see_zeros(part, inside) for part in blocks_of(stmt)):
                return True
        return False

    def _changed(self, loop: Loop, bounds: Bounds, names: Names) -> list[Loop]:
        """What stands in the place of a loop over taps; nothing where it stays, and for others."""
        inner = [stmt for stmt in walk(loop.body) if isinstance(stmt, Loop)]
        if loop.kind is not Kind.SERIAL or not all(map(has_constant_limits, (loop, *inner))):
            return []
        places = list(dict.fromkeys(self._places(loop.body)))
        found = affine(places[0], loop.axis) if len(places) == 1 else None
        if found is None or found[0] <= 0:
            return []
        by_tap, rest = found
        moving = [stmt for stmt in inner if stmt.axis in vars_of(rest)]
        if not moving:
            start = apply("max", loop.start, _steps(index(self.first) - rest, by_tap))
            stop = apply("min", loop.stop, _steps(index(self.last) - rest, by_tap))
            limits = simplify(start, bounds), simplify(stop, bounds)
            return [] if limits == (loop.start, loop.stop) else [*_within(loop, *limits, names)]
        move = affine(rest, moving[0].axis)
        if len(moving) > 1 or moving[0].kind is not Kind.UNROLL or move is None:
            return []
        by_turn, zero = move
        if not isinstance(zero, Const):
            return []
        return self._by_tap(loop, moving[0], (by_tap, by_turn, int(zero.value)), names)

    def _by_tap(
        self, loop: Loop, tile: Loop, place: tuple[int, int, int], names: Names
    ) -> list[Loop]:
        """The loop cut where the part of a tile that sees what is not zero changes, if that leaves
        out enough to be worth more code. The place that is read moves by so much with a tap and by
        so much along the tile, from there."""
        by_tap, by_turn, zero = place
        inside = range(self.first, self.last)
        taps, turns = _turns(loop), _turns(tile)
        seen = {
            tap: [turn for turn in turns if zero + tap * by_tap + turn * by_turn in inside]
            for tap in taps
        }
        count = len(taps) * len(turns)
        left_out = count - sum(map(len, seen.values()))
        enough = 1 if self.least_share is None else -(-count // self.least_share)
        if left_out < enough or not (self.least_share is None or all(seen.values())):
            return []
        pieces: list[Loop] = []
        for part, group in groupby(taps, seen.__getitem__):
            first, *others = group
            if not part:
                continue
            body = _limited(loop.body, tile.axis, index(part[0]), index(part[-1] + 1))
            axis = loop.axis
            if pieces:
                axis = names.copy(loop.axis)
                body = substitute_block(copy_block(body, names), {loop.axis: var(axis)})
            pieces.append(Loop(axis, index(first), index([first, *others][-1] + 1), body))
        return pieces

    def _places(self, block: Block) -> list[Expr]:
        """Where a block of sums reads the buffer, along the axis; empty where it does something
        else than to add products with elements of it."""
        found: list[Expr] = []
        for stmt in walk(block):
            match stmt:
                case Loop(kind=Kind.SERIAL | Kind.UNROLL | Kind.VECTOR):
                    continue
                case Call(callee=callee, windows=(_, left, right)) if callee in DOTS:
                    if left.buffer != self.buffer or right.buffer == self.buffer:
                        return []
                    if self.axis == len(left.offsets) - 1:  # one of them sees several places
                        return []
                    found.append(left.offsets[self.axis])
                case Call(callee=callee) if callee in PREFETCHES:
                    continue
                case Accumulate(combiner="sum", values=(value,)):
                    factors = [*self._factors(value)]
                    if len(factors) != 1 or len(factors) != len(self._reads(value)):
                        return []
                    found.append(factors[0].indices[self.axis])
                case _:
                    return []
        return found

    def _reads(self, value: Expr) -> list[Load]:
        return [load for load in loads_of(value) if load.buffer == self.buffer]

    def _factors(self, value: Expr) -> Iterator[Load]:
        """The elements of the buffer that a product has as factors."""
        match value:
            case Apply(function="mul", args=factors):
                for factor in factors:
                    yield from self._factors(factor)
            case Cast(value=narrow):
                yield from self._factors(narrow)
            case Load(buffer=name) if name == self.buffer:
                yield value


def _turns(loop: Loop) -> range:
    """The turns of a loop that has constant limits."""
    first, last = loop_bounds(loop, {})
    return range(first, last + 1)


def _limited(block: Block, axis: str, start: Expr, stop: Expr) -> Block:
    """A block whose loop over an axis has other limits."""

    def visit(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Loop) and stmt.axis == axis:
            return replace(stmt, start=start, stop=stop)
        return map_blocks(stmt, lambda part: tuple(map(visit, part)))

    return tuple(map(visit, block))


def _steps(distance: Expr, factor: int) -> Expr:
    """How many steps of so many go to a distance at least."""
    return apply("floordiv", distance + (factor - 1), index(factor))


def _within(loop: Loop, start: Expr, stop: Expr, names: Names) -> Iterator[Loop]:
    """A loop between other limits, and beyond them what it asks for."""
    asked = _requests(loop.body)

    def asking(low: Expr, high: Expr) -> Iterator[Loop]:
        if asked and low != high:
            axis = names.copy(loop.axis)
            body = substitute_block(copy_block(asked, names), {loop.axis: var(axis)})
            yield Loop(axis, low, high, body)

    yield from asking(loop.start, start)
    yield replace(loop, start=start, stop=stop)
    yield from asking(stop, loop.stop)


def _requests(block: Block) -> Block:
    """What a block of sums asks for, in the loops that run at run time."""
    found: list[Stmt] = []
    for stmt in block:
        match stmt:
            case Call(callee=callee) if callee in PREFETCHES:
                found.append(stmt)
            case Loop(kind=Kind.SERIAL, body=body):
                inner = _requests(body)
                if inner:
                    found.append(replace(stmt, body=inner))
    return tuple(found)
