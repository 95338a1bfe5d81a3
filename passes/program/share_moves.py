"""What follows a step that threads share is shared, too, where it moves much: its data lie in the
caches of all of them.

    call @product(%a, %b, %c)             call @product(%a, %b, %c)
    call @pad(%c, %padded)          ->    call @pad_shared(%c, %padded)
    call @conv(%padded, %d, %e)           call @conv(%padded, %d, %e)

A kernel by itself is dealt to threads where its arithmetic pays for waking them. Here they are
awake, and the arithmetic is not what takes the time: a lone thread would fetch from the others'
caches what they have written, and they would fetch from its cache what they read next, each line
when it is needed. Of several loops those that move little, such as the zeros around an image, stay
with one thread: to wait for the others once more takes longer.
"""

from __future__ import annotations

from ...target import Target
from ...tile.analyses.count import work_of
from ...tile.nodes import Kernel
from ...tile.program import CallStep, Program, Step
from ...tile.tree import is_dealt
from ..schedule.cost.model import worth_sharing_moves
from ..schedule.loops import deal
from ..schedule.ordered import ordered_axes
from .variants import Changed, Variants

LEAST_SHARE = 8  # a part of what a kernel moves, for which threads wait for one another


def share_moves(program: Program, target: Target) -> Changed:
    """The program with such kernels."""
    variants = Variants.of(program)

    def visit(place: int, step: Step) -> Step:
        before = program.steps[place - 1] if place else None
        if not isinstance(step, CallStep) or not isinstance(before, CallStep):
            return step
        if not is_dealt(variants.kernels[before.kernel]):
            return step
        return variants.call(step, _shared(variants.kernels[step.kernel], target), "shared")

    steps = tuple(visit(place, step) for place, step in enumerate(program.steps))
    return variants.program(program, steps)


def _shared(kernel: Kernel, target: Target) -> Kernel:
    """A kernel dealt to threads; itself where it is already, or should or can not be."""
    moved = _moved(kernel)
    if is_dealt(kernel) or not worth_sharing_moves(moved, target):
        return kernel
    return deal(kernel, lambda part: _moved(part) * LEAST_SHARE >= moved, ordered_axes(kernel))


def _moved(kernel: Kernel) -> int:
    """Distinct bytes that a kernel reads and writes, at most."""
    found = work_of(kernel).accesses
    return sum(min(p.elements, found[p.name]) * p.dtype.bytes for p in kernel.params)
