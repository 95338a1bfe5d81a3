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

A loop whose weights do not stay in the nearest cache reads them anew in each turn, and waits: from
the last cache as from the second, which leaves most of the multiply-adds idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...target import Target
from ...text import fresh_name
from ...tile.nodes import Kernel
from ...tile.program import CallStep, LoopStep, Program, Step, View, with_steps, with_views
from ..schedule.cost.turns import passes_second_cache
from .interleaved_product import Beside, place_beside
from .rows_taken import RowsTaken, later_turns, names_in, rows_taken, turns_in_blocks
from .variants import Changed


def beside(
    program: Program, naive: Mapping[str, Kernel], target: Target
) -> Changed:
    """The program with such loops; `naive` has the kernels as they were before they were
    scheduled."""
    return _Placing(program, naive, target).run()


@dataclass
class _Placing:
    program: Program
    naive: Mapping[str, Kernel]
    target: Target
    variants: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kernels = {kernel.name: kernel for kernel in self.program.kernels}
        self.names = names_in(self.program)

    def run(self) -> Changed:
        steps = list(self.program.steps)
        for loop in [step for step in steps if isinstance(step, LoopStep)]:
            self._visit(steps, loop)
        if not self.variants:
            return self.program, {}
        return with_steps(self.program, tuple(steps), self.kernels.values()), self.variants

    def _visit(self, steps: list[Step], loop: LoopStep) -> None:
        """Put a product of those before the loop into it, if there is one."""
        for taken in rows_taken(self.program, self.kernels, self.naive, steps, loop):
            for place, waiting in enumerate(loop.body):
                if not isinstance(waiting, CallStep):
                    continue
                found = self._beside(waiting, taken)
                if found is not None:
                    name = fresh_name(f"{taken.call.kernel}_first", self.names)
                    self.kernels[name] = replace(found.first, name=name)
                    ready = taken.shared.early + found.last_turns
                    first = taken.first(name, ready, found.row_moves)
                    steps[steps.index(taken.call)] = first
                    at = steps.index(loop)
                    steps[at : at + 1] = self._loops(loop, place, taken, found)
                    return

    def _beside(self, call: CallStep, taken: RowsTaken) -> Beside | None:
        """The product in the kernel of a call, if that reads so much in every turn that it waits
        for it longer than another product's share takes to be dealt out."""
        kernel = self.kernels[call.kernel]
        pairs = zip(kernel.params, call.args, strict=True)
        kept = {v.slot for param, v in pairs if not v.strides and param.name not in kernel.outputs}
        read = sum(self.program.slot(name).type.nbytes for name in kept)
        if not passes_second_cache(read, self.target):
            return None
        name = fresh_name(f"{call.kernel}_beside", self.names)
        return place_beside(taken.shared, kernel, read, name, self.target)

    def _loops(
        self, loop: LoopStep, place: int, taken: RowsTaken, found: Beside
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
        body = [*with_views(loop.body, lambda v: turns_in_blocks(v, loop.name, block, found.turns))]
        moved = body[place]
        assert isinstance(moved, CallStep)
        share = self._share(taken, found, block, loop.name)
        body[place] = replace(both, args=(*moved.args, *share))
        inner = replace(loop, count=found.turns, body=tuple(body))
        last = fresh_name(loop.name, self.names)
        done = blocks * found.turns
        rest = with_views(loop.body, lambda view: later_turns(view, loop.name, last, done))
        return (
            LoopStep(block, blocks, (inner,), loop.location),
            LoopStep(last, found.last_turns, rest, loop.location),
        )

    def _share(
        self, taken: RowsTaken, found: Beside, block: str, turn: str
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
