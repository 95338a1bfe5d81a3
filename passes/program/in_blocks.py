"""Products whose rows a loop takes, more than the last cache holds, are computed in the loop: the
rows of a block of turns at a time, in the same memory.

    call @product(%x, %w, %rows)
    loop turn in 0..128 {
      call @step(%state, %rows + 64 * turn, %state)
    }

becomes

    call @product_block(%x, %w, %rows)
    loop turn in 0..8 {
      call @step(%state, %rows + 64 * turn, %state)
    }
    loop block in 0..15 {
      call @product_block(%x + 4096 + 4096 * block, %w, %rows)
      loop turn_1 in 0..8 {
        call @step(%state, %rows + 64 * turn_1, %state)
      }
    }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...target import Target
from ...text import fresh_name
from ...tile.nodes import Kernel
from ...tile.program import CallStep, LoopStep, Program, Step, View, with_steps, with_views
from ...tile.steps.part import Part
from ...types import TensorType
from ..schedule.cost.model import memory_bound
from ..schedule.recipes import schedule
from .rows_taken import RowsTaken, later_turns, names_in, rows_taken, turns_in_blocks
from .variants import Changed

BLOCK_ROWS = 256  # at least: weights that come from the last cache again are nothing beside these


def in_blocks(
    program: Program, naive: Mapping[str, Kernel], target: Target
) -> Changed:
    """The program with such loops, whose new kernels are variants of none; `naive` has the kernels
    as they were before they were scheduled."""
    return _Cutting(program, naive, target).run(), {}


@dataclass(frozen=True)
class _Blocks:
    """A product in blocks of `turns`, the first of which is for the `first_turns`; by how many
    elements its parameters' views move for one turn's rows."""

    taken: RowsTaken
    first: Kernel
    each: Kernel
    turns: int
    first_turns: int
    moves: tuple[int, ...]

    @property
    def count(self) -> int:
        """The blocks after the first."""
        return (self.taken.shared.turns - self.first_turns) // self.turns

    def row(self, position: int, turns: int) -> int:
        """Where in a block of so many turns the rows of one are."""
        step = self.taken.step
        return position * step if step > 0 else (position + 1 - turns) * step

    def early(self, view: View) -> View:
        """A view of rows that are taken before the loop, in the first block."""
        left = self.taken.turn_of(0, self.first_turns) * abs(self.taken.step)
        return replace(view, offset=view.offset - left) if view.slot == self.taken.slot else view


@dataclass
class _Cutting:
    program: Program
    naive: Mapping[str, Kernel]
    target: Target

    def __post_init__(self) -> None:
        self.kernels = {kernel.name: kernel for kernel in self.program.kernels}
        self.slots = {slot.name: slot for slot in self.program.slots}
        self.names = names_in(self.program)

    def run(self) -> Program:
        steps = list(self.program.steps)
        for loop in [step for step in steps if isinstance(step, LoopStep)]:
            for taken in rows_taken(self.program, self.kernels, self.naive, steps, loop):
                found = self._blocks(taken)
                if found is not None:
                    self._cut(steps, loop, found)
                    break
        if tuple(steps) == self.program.steps:
            return self.program
        program = replace(self.program, slots=tuple(self.slots.values()))
        return with_steps(program, tuple(steps), self.kernels.values())

    def _blocks(self, taken: RowsTaken) -> _Blocks | None:
        """How a product is cut, if it is so large that it goes through memory."""
        shared = taken.shared
        turns = -(-BLOCK_ROWS // shared.rows)
        first_turns = turns + shared.turns % turns
        written = self.slots[taken.slot].type.nbytes
        if not memory_bound(2 * written, self.target) or shared.early >= turns:
            return None
        if shared.turns < 2 * turns:
            return None
        each = shared.part(turns, shared.sizes.columns)
        first = shared.part(first_turns, shared.sizes.columns)
        if each is None or first is None:
            return None
        rows = each.moves[shared.product.m or ""]
        moves = tuple(rows[param.name] // turns for param in shared.kernel.params)
        name = self._scheduled(taken, each)
        same = first_turns == turns
        start = name if same else self._scheduled(taken, first)
        return _Blocks(taken, start, name, turns, first_turns, moves)

    def _scheduled(self, taken: RowsTaken, part: Part) -> Kernel:
        name = fresh_name(f"{taken.call.kernel}_block", self.names)
        self.kernels[name] = replace(schedule(part.kernel, self.target), name=name)
        return self.kernels[name]

    def _cut(self, steps: list[Step], loop: LoopStep, blocks: _Blocks) -> None:
        """Replace the product and the loop; what stands between them reads the first block."""
        taken, at = blocks.taken, steps.index(loop)
        begin = steps.index(taken.call)
        call = taken.first(blocks.first.name, blocks.first_turns, blocks.moves)
        steps[at : at + 1] = self._loops(loop, blocks)
        steps[begin + 1 : at] = with_views(tuple(steps[begin + 1 : at]), blocks.early)
        steps[begin] = replace(call, args=(*call.args[:-1], View(taken.slot)))
        slot = self.slots[taken.slot]
        shape = (blocks.first_turns * taken.shared.rows, taken.shared.sizes.columns)
        self.slots[slot.name] = replace(slot, type=TensorType(shape, slot.type.dtype))

    def _loops(self, loop: LoopStep, blocks: _Blocks) -> Sequence[Step]:
        """The first block's turns, and the loop over the others."""
        taken = blocks.taken
        begun = blocks.first_turns - taken.shared.early
        block, turn = fresh_name("block", self.names), fresh_name(loop.name, self.names)

        def in_first(view: View) -> View:
            if view.slot != taken.slot:
                return view
            start = blocks.row(taken.shared.early, blocks.first_turns)
            return View(view.slot, start, ((loop.name, taken.step),))

        def in_others(view: View) -> View:
            if view.slot == taken.slot:
                return View(view.slot, blocks.row(0, blocks.turns), ((turn, taken.step),))
            later = later_turns(view, loop.name, turn, begun)
            return turns_in_blocks(later, turn, block, blocks.turns)

        product = self._next_block(blocks, block)
        inner = LoopStep(turn, blocks.turns, with_views(loop.body, in_others), loop.location)
        first = replace(loop, count=begun, body=with_views(loop.body, in_first))
        return first, LoopStep(block, blocks.count, (product, inner), loop.location)

    def _next_block(self, blocks: _Blocks, block: str) -> CallStep:
        """The call that computes the rows of a block after the first."""
        taken = blocks.taken
        start = taken.turn_of(blocks.first_turns, blocks.turns)
        forward = blocks.turns if taken.step > 0 else -blocks.turns
        views = []
        for view, move in zip(taken.call.args[:-1], blocks.moves, strict=False):
            strides = ((block, forward * move),) if move else ()
            views.append(View(view.slot, view.offset + start * move, strides))
        return replace(taken.call, kernel=blocks.each.name, args=(*views, View(taken.slot)))
