"""Products whose rows a loop takes one after the other are computed in the loop, beside a kernel
that waits for its weights: the next turns' rows while this turn's arrive.

    call @product(%x, %w, %rows)
    loop turn in 0..128 {
      call @step(%state, %u, %rows + 64 * turn, %state)
    }

becomes

    call @product_first(%x, %w, %rows)
    loop block in 0..15 {
      loop turn in 0..8 {
        call @step_beside(%state, %u, %rows + 512 * block + 64 * turn, %state,
                          %x + 256 + 256 * block, %w + 1024 * turn, %rows + 512 + ..)
      }
    }
    loop turn in 0..8 {
      call @step(%state, %u, %rows + 7680 + 64 * turn, %state)
    }

A loop whose weights do not stay in the second cache reads them anew in each turn, which leaves most
of the multiply-adds idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..target import Target
from ..text import fresh_name
from ..tile.nodes import Kernel
from ..tile.program import (
    CallStep,
    LoopStep,
    Program,
    Role,
    Step,
    View,
    calls_of,
    views_of,
    with_views,
)
from .schedule.beside import Beside, SharedProduct, place_beside, shared_product


def beside(
    program: Program, naive: Mapping[str, Kernel], target: Target
) -> tuple[Program, Mapping[str, str]]:
    """The program with such loops, and for each new kernel the one it is of; `naive` has the
    kernels as they were before they were scheduled."""
    if target.gpu is not None:
        return program, {}
    return _Placing(program, naive, target).run()


@dataclass(frozen=True)
class _Taken:
    """A product that a loop takes rows of, and the call that computes it."""

    call: CallStep
    shared: SharedProduct
    step: int  # elements from one turn's rows to the next's

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


@dataclass
class _Placing:
    program: Program
    naive: Mapping[str, Kernel]
    target: Target
    variants: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kernels = {kernel.name: kernel for kernel in self.program.kernels}
        self.names = {*self.kernels, *(slot.name for slot in self.program.slots)}
        self.names.update(step.name for step in self.program.steps if isinstance(step, LoopStep))

    def run(self) -> tuple[Program, Mapping[str, str]]:
        steps = list(self.program.steps)
        for loop in [step for step in steps if isinstance(step, LoopStep)]:
            self._visit(steps, loop)
        if not self.variants:
            return self.program, {}
        used = {call.kernel for call in calls_of(tuple(steps))}
        kernels = tuple(kernel for name, kernel in self.kernels.items() if name in used)
        return replace(self.program, kernels=kernels, steps=tuple(steps)), self.variants

    def _visit(self, steps: list[Step], loop: LoopStep) -> None:
        """Put a product of those before the loop into it, if there is one."""
        for call in [step for step in steps[: steps.index(loop)] if isinstance(step, CallStep)]:
            taken = self._taken(steps, loop, call)
            if taken is None:
                continue
            for place, waiting in enumerate(loop.body):
                if not isinstance(waiting, CallStep):
                    continue
                found = self._beside(loop, waiting, taken)
                if found is not None:
                    steps[steps.index(call)] = self._first(taken, found)
                    at = steps.index(loop)
                    steps[at : at + 1] = self._loops(loop, place, taken, found)
                    return

    def _taken(self, steps: Sequence[Step], loop: LoopStep, call: CallStep) -> _Taken | None:
        """The product that a call is, if this loop takes its rows one after the other, and others
        before it only those that come before its own."""
        kernel = self.naive.get(call.kernel)
        if kernel is None or len(kernel.outputs) != 1 or any(view.strides for view in call.args):
            return None
        result = call.args[-1]
        after = steps[steps.index(call) + 1 :]
        written = _written(after, self.kernels)
        if written & {view.slot for view in call.args} or result.offset:
            return None
        if self.program.slot(result.slot).role is not Role.ARENA:
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
        taken = _Taken(call, shared, step)
        before, behind = after[: after.index(loop)], after[after.index(loop) + 1 :]
        left = any(view.slot == result.slot for step in behind for view in views_of(step))
        if view.offset != taken.start or left or not self._only_early_rows(before, taken):
            return None
        return taken

    def _only_early_rows(self, steps: Sequence[Step], taken: _Taken) -> bool:
        """Whether these steps read no rows of the product but those that are taken before the loop.
        """
        early, slot = taken.early, taken.call.args[-1].slot
        return all(
            not view.strides and early.start <= view.offset <= early.stop - param.elements
            for call in calls_of(tuple(steps))
            for param, view in zip(self.kernels[call.kernel].params, call.args, strict=True)
            if view.slot == slot
        )

    def _beside(self, loop: LoopStep, call: CallStep, taken: _Taken) -> Beside | None:
        """The product in the kernel of a call, if that reads more in every turn than a cache that
        is near holds."""
        kernel = self.kernels[call.kernel]
        pairs = zip(kernel.params, call.args, strict=True)
        kept = {v.slot for param, v in pairs if not v.strides and param.name not in kernel.outputs}
        read = sum(self.program.slot(name).type.nbytes for name in kept)
        if read <= self.target.l2_bytes:
            return None
        name = fresh_name(f"{call.kernel}_beside", self.names)
        return place_beside(taken.shared, kernel, read, name, self.target)

    def _first(self, taken: _Taken, found: Beside) -> CallStep:
        """The call for the rows of the first turns."""
        call = taken.call
        name = fresh_name(f"{call.kernel}_first", self.names)
        self.kernels[name] = replace(found.first, name=name)
        start = taken.turn_of(0, taken.shared.early + found.last_turns)
        args = (
            replace(view, offset=view.offset + start * move)
            for view, move in zip(call.args, found.row_moves, strict=True)
        )
        return replace(call, kernel=name, args=tuple(args))

    def _loops(
        self, loop: LoopStep, place: int, taken: _Taken, found: Beside
    ) -> tuple[LoopStep, LoopStep]:
        """The loop in blocks of turns that compute the next block's rows, and the last turns."""
        call = loop.body[place]
        assert isinstance(call, CallStep)
        blocks = (loop.count - found.last_turns) // found.turns
        block = fresh_name("block", self.names)
        self.kernels[found.both.name] = found.both
        self.variants[found.both.name] = call.kernel
        label = f"{call.label}, {taken.call.label}"
        both = replace(call, kernel=found.both.name, label=label)
        body = list(with_views(loop.body, lambda view: _in_block(view, loop.name, block, found)))
        moved = body[place]
        assert isinstance(moved, CallStep)
        share = self._share(taken, found, block, loop.name)
        body[place] = replace(both, args=(*moved.args, *share))
        inner = replace(loop, count=found.turns, body=tuple(body))
        last = fresh_name(loop.name, self.names)
        done = blocks * found.turns
        rest = with_views(loop.body, lambda view: _after(view, loop.name, last, done))
        return (
            LoopStep(block, blocks, (inner,), loop.location),
            LoopStep(last, found.last_turns, rest, loop.location),
        )

    def _share(
        self, taken: _Taken, found: Beside, block: str, turn: str
    ) -> tuple[View, ...]:
        """The views of the product's parameters for one turn's share of the next block."""
        views = []
        start = taken.turn_of(taken.shared.early + found.last_turns, found.turns)
        forward = found.turns if taken.step > 0 else -found.turns
        for view, row, column in zip(
            taken.call.args, found.row_moves, found.column_moves, strict=True
        ):
            moves = ((block, forward * row), (turn, column))
            strides = tuple((loop, by) for loop, by in moves if by)
            views.append(View(view.slot, view.offset + start * row, strides))
        return tuple(views)


def _in_block(view: View, turn: str, block: str, found: Beside) -> View:
    """A view that moved with the turns of a loop, in the turns of its blocks."""
    step = dict(view.strides).get(turn)
    if step is None:
        return view
    return replace(view, strides=(*view.strides, (block, step * found.turns)))


def _after(view: View, turn: str, last: str, done: int) -> View:
    """A view that moved with the turns of a loop, in those after so many are done."""
    step = dict(view.strides).get(turn)
    if step is None:
        return view
    strides = tuple((last if loop == turn else loop, by) for loop, by in view.strides)
    return replace(view, offset=view.offset + step * done, strides=strides)


def _written(steps: Sequence[Step], kernels: Mapping[str, Kernel]) -> set[str]:
    """The slots that calls write."""
    return {
        view.slot
        for call in calls_of(tuple(steps))
        for param, view in zip(kernels[call.kernel].params, call.args, strict=True)
        if param.name in kernels[call.kernel].outputs
    }
