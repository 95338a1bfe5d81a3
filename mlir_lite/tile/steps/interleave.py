"""Two kernels in one, the second a little at a time inside of the first's sums: what one computes
hides how the other's operands arrive (Li et al. 2020, "Automatic Horizontal Fusion for GPU Kernel
Compilation", of kernels; here of their loops).

    parallel p in 0..8 { .. for k in 0..64 { sum } .. }
    parallel q in 0..2 { first;  for t in 0..32 { work }  last }

become

    parallel q in 0..2 {
      first
      for p in 0..4 { .. for k.o in 0..8 { for k.i in 0..8 { sum }  work } .. }
      last
    }
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...expr import index
from ...text import fresh_name
from ..nodes import Accumulate, Block, Kernel, Kind, Loop, Store
from ..traverse import substitute_block, walk
from ..tree import Names, base, copy_block, extent_of, has_constant_limits, tidy, var
from .nests import renamed

MOST_UNROLLED = 8  # steps of the sums between two steps of the work: more would only be long


@dataclass(frozen=True)
class Pieces:
    """A kernel as pieces that are dealt to threads, and in each one serial loop over sums."""

    outer: Loop
    before: Block
    inner: Loop
    after: Block

    @property
    def count(self) -> int:
        return extent_of(self.outer)

    @property
    def steps(self) -> int:
        return extent_of(self.inner)

    def hold(self, count: int, steps: int) -> bool:
        """Whether there are whole numbers of them for so many of another kernel's, and steps enough
        in these."""
        return self.count % count == 0 and self.count // count * self.steps >= steps


def pieces_of(kernel: Kernel) -> Pieces | None:
    """The kernel's pieces; None where it is not of this form."""
    if len(kernel.body) != 1 or kernel.procs or kernel.externs:
        return None
    (outer,) = kernel.body
    if not isinstance(outer, Loop) or outer.kind is not Kind.PARALLEL:
        return None
    places = [
        place
        for place, stmt in enumerate(outer.body)
        if isinstance(stmt, Loop) and stmt.kind is Kind.SERIAL and _sums(stmt)
    ]
    if len(places) != 1 or not has_constant_limits(outer):
        return None
    inner = outer.body[places[0]]
    assert isinstance(inner, Loop)
    if not has_constant_limits(inner):
        return None
    return Pieces(outer, outer.body[: places[0]], inner, outer.body[places[0] + 1 :])


def _sums(loop: Loop) -> bool:
    """Whether a loop does nothing but add to sums."""
    found = list(walk(loop.body))
    return any(isinstance(stmt, Accumulate) for stmt in found) and not any(
        isinstance(stmt, Store) for stmt in found
    )


def interleave(kernel: Kernel, other: Kernel, name: str) -> Kernel:
    """One kernel of the two, which write nothing that the other touches; the first must `hold` the
    other's pieces.

    Its parameters are the first's, then the other's, renamed where both have a name.
    """
    first = pieces_of(kernel)
    assert first is not None
    other = _apart(other, kernel)
    second = pieces_of(other)
    assert second is not None and first.hold(second.count, second.steps)
    many = first.count // second.count
    every = -(-many * first.steps // second.steps)
    done = first.steps // every  # steps of the other in each piece of the first
    names = Names(replace(kernel, body=kernel.body + other.body))
    piece, turn = names.copy(first.outer.axis), names.copy(f"{base(first.inner.axis)}.o")
    at = second.inner.start + var(piece) * done + var(turn)
    work = substitute_block(second.inner.body, {second.inner.axis: at})
    sums = _cut(first.inner, every, turn, work, names)
    body = substitute_block(
        (*first.before, *sums, *first.after),
        {first.outer.axis: first.outer.start + var(second.outer.axis) * many + var(piece)},
    )
    rest = replace(second.inner, start=second.inner.start + many * done)
    around = Loop(piece, index(0), index(many), body)
    whole = (*second.before, around, *copy_block((rest,), names), *second.after)
    return tidy(
        Kernel(
            name,
            (*kernel.params, *other.params),
            (*kernel.outputs, *other.outputs),
            (replace(second.outer, body=whole),),
            (*kernel.locals, *other.locals),
        )
    )


def _cut(loop: Loop, every: int, turn: str, work: Block, names: Names) -> Block:
    """The loop with the work after `every` steps of it, and the steps that are left over."""
    inner, done = names.copy(f"{base(loop.axis)}.i"), extent_of(loop) // every
    kind = Kind.UNROLL if every <= MOST_UNROLLED else Kind.SERIAL
    moved = {loop.axis: loop.start + var(turn) * every + var(inner)}
    some = Loop(inner, index(0), index(every), substitute_block(loop.body, moved), kind)
    rest = copy_block((replace(loop, start=loop.start + done * every),), names)
    return (Loop(turn, index(0), index(done), (some, *work)), *rest)


def _apart(other: Kernel, kernel: Kernel) -> Kernel:
    """The kernel with names that the first one has not."""
    taken = {*kernel.buffers, *other.buffers}
    given = {
        name: fresh_name(name, taken) if name in kernel.buffers else name for name in other.buffers
    }
    body = copy_block(other.body, Names(kernel))
    for old, new in given.items():
        body = renamed(body, old, new)
    return Kernel(
        other.name,
        tuple(replace(param, name=given[param.name]) for param in other.params),
        tuple(given[output] for output in other.outputs),
        body,
        tuple(replace(local, name=given[local.name]) for local in other.locals),
    )
