"""The verifier's checks of a program: calls, views, and the memory plan, judged from the steps'
reads and writes alone.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import combinations

from ...memory import ALIGNMENT
from ...sizes import round_up
from ..analyses.in_place import is_elementwise
from ..analyses.uses import Life, innermost_loops, lives_of, uses_of
from ..nodes import Buffer
from ..program import CallStep, Program, Role, Slot
from .calls import STATUS, CallChecks
from .slots import check_slots, program_error


def live_bytes(program: Program, *, in_place: bool = True) -> list[int]:
    """For each call the bytes of the arena that no plan can do without.

    They are those of the slots live then, from their first use to their last, each rounded up to
    the alignment; with `in_place` without those of the results that can take the place of an
    operand used last. The offsets that a plan has given do not count.
    """
    lives = _lives(program)
    around = innermost_loops(uses_of(program))
    sizes = {
        slot.name: round_up(slot.type.nbytes, ALIGNMENT)
        for slot in program.slots
        if _in_arena(slot) and slot.name in lives
    }
    totals: list[int] = []
    for number, step in enumerate(program.calls):
        alive = [name for name in sizes if lives[name].first <= number <= lives[name].last]
        total = sum(sizes[name] for name in alive)
        if in_place:
            inside = [name for name in alive if lives[name].home == around[number]]
            ends = {name for name in inside if lives[name].last == number}
            starts = {name for name in alive if lives[name].first == number}
            total -= sum(sizes[name] for name in _in_place(program, step, ends, starts))
        totals.append(total)
    return totals


def _in_place(program: Program, step: CallStep, ends: Set[str], starts: Set[str]) -> set[str]:
    """Which of the slots that start in a step may lie where one that ends in it lay."""
    kernel = program.kernel(step.kernel)
    bound: dict[str, list[Buffer]] = {}
    for param, view in zip(kernel.params, step.args, strict=True):
        bound.setdefault(view.slot, []).append(param)
    return {
        result
        for result in starts
        if any(
            all(is_elementwise(kernel, read, bound[result][0]) for read in bound[operand])
            for operand in ends - starts
        )
    }


def verify_program(program: Program) -> None:
    """Raise `VerifyError`, naming the step, where a program's calls or its memory plan are wrong.

    The kernels themselves are `verify_kernel`'s to check.
    """
    check_slots(program)
    checks = CallChecks(program)
    checks.check_steps(program.steps, 0, {})
    checks.check_results()
    check_overlaps(program)


def _lives(program: Program) -> dict[str, Life]:
    """The first and the last call that uses each slot, through all turns of the loops."""
    lives = lives_of(uses_of(program))
    if STATUS in lives:
        lives[STATUS] = Life(0, len(program.calls) - 1, None)
    return lives


def check_overlaps(program: Program) -> None:
    """Slots that share bytes of the arena are not live at the same time."""
    lives = _lives(program)
    around = innermost_loops(uses_of(program))
    arena = [slot for slot in program.slots if slot.name in lives and _in_arena(slot)]
    arena.sort(key=lambda slot: (lives[slot.name].first, lives[slot.name].last))
    for one, other in combinations(arena, 2):
        first, second = one.offset or 0, other.offset or 0
        if first >= second + other.type.nbytes or second >= first + one.type.nbytes:
            continue
        # In a call that both meet in, `check_pair` has judged the call itself; what a loop
        # takes from outside is read in the next turn again.
        end, begin = lives[one.name], lives[other.name].first
        if end.last > begin or (end.last == begin and end.home != around.get(begin)):
            message = f"'{one.name}' and '{other.name}' overlap in the arena while both are live"
            raise program_error(program, message, begin)


def _in_arena(slot: Slot) -> bool:
    return slot.role == Role.ARENA
