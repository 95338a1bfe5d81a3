"""Products whose rows a loop takes, one after the other: what passes that move them into the loop
share.

    call @product(%x, %w, %rows)
    loop turn in 0..128 {
      call @step(%state, %rows + 64 * turn, %state)
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...tile.nodes import Kernel
from ...tile.program import (
    CallStep,
    LoopStep,
    Program,
    Role,
    Step,
    View,
    blocks_of,
    calls_of,
    views_of,
)
from .interleaved_product import SharedProduct, shared_product


@dataclass(frozen=True)
class RowsTaken:
    """A product that a loop takes rows of, and the call that computes it."""

    call: CallStep
    shared: SharedProduct
    step: int  # elements from one turn's rows to the next's

    @property
    def slot(self) -> str:
        return self.call.args[-1].slot

    @property
    def start(self) -> int:
        """Where the rows of the loop's first turn are."""
        if self.step > 0:
            return self.shared.early * self.step
        return -self.step * (self.shared.length - 1)

    @property
    def early(self) -> range:
        """The elements of the rows that are taken before the loop."""
        row = abs(self.step)
        if self.step > 0:
            return range(self.shared.early * row)
        return range(self.shared.length * row, self.shared.turns * row)

    def turn_of(self, position: int, turns: int) -> int:
        """Where in the product the rows for so many turns are, the first of which is the turn at a
        position in the order in which they are taken."""
        return position if self.step > 0 else self.shared.turns - position - turns

    def first(self, kernel: str, turns: int, moves: Sequence[int]) -> CallStep:
        """The call of a kernel for the rows of the first turns; `moves` are the elements by which
        the views of the product's parameters move for a turn's."""
        start = self.turn_of(0, turns)
        pairs = zip(self.call.args, moves, strict=True)
        args = tuple(replace(view, offset=view.offset + start * move) for view, move in pairs)
        return replace(self.call, kernel=kernel, args=args)


def rows_taken(
    program: Program,
    kernels: Mapping[str, Kernel],
    naive: Mapping[str, Kernel],
    steps: Sequence[Step],
    loop: LoopStep,
) -> Iterator[RowsTaken]:
    """The products before a loop of which it takes the rows one after the other, and others before
    it only those that come before its own."""
    for call in steps[: steps.index(loop)]:
        if isinstance(call, CallStep):
            found = _taken(program, kernels, naive, steps, loop, call)
            if found is not None:
                yield found


def _taken(
    program: Program,
    kernels: Mapping[str, Kernel],
    naive: Mapping[str, Kernel],
    steps: Sequence[Step],
    loop: LoopStep,
    call: CallStep,
) -> RowsTaken | None:
    kernel = naive.get(call.kernel)
    if kernel is None or len(kernel.outputs) != 1 or any(view.strides for view in call.args):
        return None
    result = call.args[-1]
    if program.slot(result.slot).role is not Role.ARENA or result.offset:
        return None
    after = steps[steps.index(call) + 1 :]
    before, behind = after[: after.index(loop)], after[after.index(loop) + 1 :]
    touched = {view.slot for view in call.args}
    left = any(view.slot == result.slot for step in behind for view in views_of(step))
    if left or touched & _written(after, kernels):
        return None
    views = {view for view in views_of(loop) if view.slot == result.slot}
    if len(views) != 1:
        return None
    (view,) = views
    strides = dict(view.strides)
    step = strides.pop(loop.name, 0)
    shared = shared_product(kernel, abs(step), loop.count) if step and not strides else None
    if shared is None:
        return None
    taken = RowsTaken(call, shared, step)
    early = _only_early_rows(before, kernels, taken)
    return taken if early and view.offset == taken.start else None


def _only_early_rows(
    steps: Sequence[Step], kernels: Mapping[str, Kernel], taken: RowsTaken
) -> bool:
    """Whether these steps read no rows of the product but those that are taken before the loop."""
    early = taken.early
    return all(
        not view.strides and early.start <= view.offset <= early.stop - param.elements
        for call in calls_of(tuple(steps))
        for param, view in zip(kernels[call.kernel].params, call.args, strict=True)
        if view.slot == taken.slot
    )


def _written(steps: Sequence[Step], kernels: Mapping[str, Kernel]) -> set[str]:
    """The slots that calls write."""
    return {
        view.slot
        for call in calls_of(tuple(steps))
        for param, view in zip(kernels[call.kernel].params, call.args, strict=True)
        if param.name in kernels[call.kernel].outputs
    }


def names_in(program: Program) -> set[str]:
    """The names of its kernels, slots and loops, which a new one must differ from."""

    def loops(steps: Sequence[Step]) -> Iterator[str]:
        for step in steps:
            if isinstance(step, LoopStep):
                yield step.name
            for block in blocks_of(step):
                yield from loops(block)

    kernels = (kernel.name for kernel in program.kernels)
    return {*kernels, *(slot.name for slot in program.slots), *loops(program.steps)}


def later_turns(view: View, turn: str, last: str, done: int) -> View:
    """A view that moved with the turns of a loop, in those of another that runs on after so many
    are done."""
    step = dict(view.strides).get(turn)
    if step is None:
        return view
    strides = tuple((last if loop == turn else loop, by) for loop, by in view.strides)
    return replace(view, offset=view.offset + step * done, strides=strides)


def turns_in_blocks(view: View, turn: str, block: str, turns: int) -> View:
    """A view that moved with the turns of a loop, in blocks of so many of them."""
    step = dict(view.strides).get(turn)
    if step is None:
        return view
    return replace(view, strides=(*view.strides, (block, step * turns)))
