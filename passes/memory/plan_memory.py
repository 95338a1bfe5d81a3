"""plan-memory: a place in one static arena for every intermediate of a Program.

A result may take the place of an operand that dies with it where the kernel allows that; then
lifetimes are placed by `allocation`, greedily and, where that misses the lower bound, exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ...memory import ALIGNMENT
from ...sizes import round_up
from ...tile.analyses.uses import innermost_loops, lives_of, uses_of
from ...tile.program import Memory, Program, Role, Slot
from ..lowering.lower import Lowered
from .allocation import Allocation, Lifetime, allocate


def plan_memory(lowered: Lowered, *, in_place: bool = True) -> Program:
    """The program with the offset of every arena slot, and the figures of the plan."""
    program = lowered.program
    lives = lifetimes(program)
    alone = {name: name for name in lives}
    homes = shared_homes(lowered, lives) if in_place else alone
    plan = _allocated(lives, homes, program)
    apart = _allocated(lives, alone, program, node_budget=0) if homes != alone else plan
    slots = tuple(
        replace(slot, offset=plan.offsets[homes[slot.name]] if slot.name in homes else 0)
        if slot.role is Role.ARENA
        else slot
        for slot in program.slots
    )
    memory = Memory(
        plan.height,
        plan.lower_bound,
        apart.height,
        sum(_rounded(slot) for slot in program.slots if slot.role is Role.ARENA),
        plan.proof,
        plan.peak,
    )
    return replace(program, slots=slots, memory=memory)


def lifetimes(program: Program) -> dict[str, tuple[int, int]]:
    """For each arena slot the calls [first, last + 1) through which it is in use."""
    return {
        name: (life.first, life.last + 1)
        for name, life in lives_of(uses_of(program)).items()
        if program.slot(name).role is Role.ARENA
    }


def shared_homes(lowered: Lowered, lives: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Which slot's memory each slot takes: its own, or that of an operand that dies there.

    What a loop takes from outside dies in none of its turns.
    """
    program = lowered.program
    homes = {name: name for name in lives}
    ends = {name: end for name, (_, end) in lives.items()}
    uses = uses_of(program)
    around = innermost_loops(uses)
    inside = {name: life.home for name, life in lives_of(uses).items()}

    def gives_way(operand: str, result: str, number: int) -> bool:
        """Whether a slot dies in a call, and is as large as what the call leaves."""
        return (
            operand in homes
            and ends[homes[operand]] == number + 1
            and inside[operand] == around[number]
            and _rounded(program.slot(operand)) == _rounded(program.slot(result))
        )

    for number, call in enumerate(program.calls):
        kernel = program.kernel(call.kernel)
        slots = {
            buffer.name: view.slot for buffer, view in zip(kernel.params, call.args, strict=True)
        }
        views = Counter(slots.values())
        for output in kernel.outputs:
            result = slots[output]
            if homes.get(result) != result or lives[result][0] != number:
                continue
            fitting = (
                slots[param.name]
                for param in kernel.params
                if (kernel.name, param.name, output) in lowered.elementwise
            )
            for operand in fitting:
                if views[operand] == 1 and gives_way(operand, result, number):
                    homes[result] = homes[operand]
                    ends[homes[operand]] = ends[result]
                    break
    return homes


def _allocated(
    lives: Mapping[str, tuple[int, int]],
    homes: Mapping[str, str],
    program: Program,
    *,
    node_budget: int | None = None,
) -> Allocation:
    """Place the homes, each alive as long as any slot in it."""
    spans: dict[str, tuple[int, int]] = {}
    for name, (start, end) in lives.items():
        home = homes[name]
        low, high = spans.get(home, (start, end))
        spans[home] = (min(low, start), max(high, end))
    return allocate(
        [
            Lifetime(name, start, end, _rounded(program.slot(name)))
            for name, (start, end) in spans.items()
        ],
        alignment=ALIGNMENT,
        node_budget=node_budget,
    )


def _rounded(slot: Slot) -> int:
    return round_up(slot.type.nbytes, ALIGNMENT)
