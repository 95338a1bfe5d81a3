"""A state that a loop copies from the row it has just stacked is read there in the next turn.

    copy(%first, %h)                                copy(%first, %h)
    loop turn in 0..128 {                           step(%h, %y)
      step(%h, %y + 512 * turn)               ->    loop turn in 0..127 {
      copy(%y + 512 * turn, %h)                       step(%y + 512 * turn, %y + 512 + 512 * turn)
    }                                               }

The first turn, which has no row before it, is a turn of its own. The copy is no work, but a step
that one thread does, of data that the others have just written: one for which all of them wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

from ...expr import Load
from ...tile.analyses.uses import uses_of
from ...tile.nodes import Kernel, Store
from ...tile.program import (
    CallStep,
    LoopStep,
    Program,
    Step,
    View,
    calls_of,
    with_steps,
    with_views,
)
from ...tile.traverse import walk
from .variants import Changed

_FEWEST_TURNS = 4
_MOST_CALLS = 16  # in a turn: the first one's are code of their own


def previous_rows(program: Program) -> Changed:
    """The program with such states read in the rows before; no kernel is new."""
    kernels = {kernel.name: kernel for kernel in program.kernels}

    def visit(step: Step) -> tuple[Step, ...]:
        if not isinstance(step, LoopStep):
            return (step,)
        body = tuple(new for inner in step.body for new in visit(inner))
        return _without_copies(replace(step, body=body), program, kernels)

    steps = tuple(new for step in program.steps for new in visit(step))
    if steps == program.steps:
        return program, {}
    return with_steps(program, steps, program.kernels), {}


def _without_copies(
    loop: LoopStep, program: Program, kernels: Mapping[str, Kernel]
) -> tuple[Step, ...]:
    """The first turn, the loop over the others, and what later steps read of the states."""
    calls = [step for step in loop.body if isinstance(step, CallStep)]
    few = len(calls) == len(loop.body) <= _MOST_CALLS
    if not few or loop.count < _FEWEST_TURNS:
        return (loop,)
    copies = [call for call in calls if _is_of_a_row(call, calls, loop.name, kernels)]
    if not copies:
        return (loop,)
    rows = {call.args[1].slot: call.args[0] for call in copies}
    others = tuple(call for call in calls if call not in copies)

    def later(view: View) -> View:
        """A view in the turn after; of a state, what it is then."""
        row = rows.get(view.slot)
        if row is not None:
            return replace(row, offset=row.offset + view.offset)
        return replace(view, offset=view.offset + dict(view.strides).get(loop.name, 0))

    alone = tuple(replace(call, alternating=False) for call in others)
    first = with_views(alone, lambda view: _in_turn(view, loop.name, 0))
    rest = replace(loop, count=loop.count - 1, body=with_views(others, later))
    kept = _read_outside(loop, program, kernels)
    last = with_views(
        tuple(call for call in copies if call.args[1].slot in kept),
        lambda view: _in_turn(view, loop.name, loop.count - 1),
    )
    return *first, rest, *last


def _is_of_a_row(
    copy: CallStep, calls: list[CallStep], turn: str, kernels: Mapping[str, Kernel]
) -> bool:
    """Whether a call copies a row that each turn writes anew to a state that nothing else writes,
    and nothing touches either until the next turn."""
    if not _is_copy(kernels[copy.kernel]):
        return False
    row, state = copy.args
    size = prod(kernels[copy.kernel].params[0].shape)
    if state.strides or abs(dict(row.strides).get(turn, 0)) < size:
        return False
    uses = [(call, *use) for call in calls if call is not copy for use in _uses(call, kernels)]
    after = calls[calls.index(copy) + 1 :]
    touched = any(
        (view.slot == state.slot and (writes or call in after or view.strides))
        or (view.slot == row.slot and (view != row or (writes and call in after)))
        for call, view, writes in uses
    )
    return not touched


def _is_copy(kernel: Kernel) -> bool:
    """Whether all that a kernel does is to store its one input, element by element."""
    if len(kernel.params) != 2 or kernel.locals:
        return False
    read, written = kernel.params
    stores = [stmt for stmt in walk(kernel.body) if isinstance(stmt, Store)]
    return read.shape == written.shape and kernel.outputs == (written.name,) and all(
        isinstance(store.value, Load)
        and store.value.buffer == read.name
        and store.value.indices == store.target.indices
        for store in stores
    )


def _uses(call: CallStep, kernels: Mapping[str, Kernel]) -> Iterator[tuple[View, bool]]:
    """The views of a call, and whether it writes them."""
    kernel = kernels[call.kernel]
    for param, view in zip(kernel.params, call.args, strict=True):
        yield view, param.name in kernel.outputs


def _read_outside(loop: LoopStep, program: Program, kernels: Mapping[str, Kernel]) -> set[str]:
    """The slots that something else than this loop reads, a condition or the caller too."""
    found = {use.view.slot for use in uses_of(program) if use.call is None}
    inside = set(map(id, calls_of((loop,))))
    for call in calls_of(program.steps):
        if id(call) not in inside:
            found.update(view.slot for view, writes in _uses(call, kernels) if not writes)
    return found.union(program.results)


def _in_turn(view: View, loop: str, turn: int) -> View:
    """A view as it is in one turn of a loop."""
    strides = dict(view.strides)
    offset = view.offset + turn * strides.pop(loop, 0)
    return View(view.slot, offset, tuple(strides.items()))
