"""How much there is to do: the matrix work of a function, the arithmetic and bytes of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..ir import Function
from ..ops.products.matmul import Matmul
from ..ops.regions.control import Scan
from ..ops.windows.conv import Conv
from ..ops.windows.conv_gradient import ConvWeightGradient
from ..ops.windows.conv_transpose import ConvTranspose
from ..passes.decompose import decompose
from ..tile.analyses.count import Work, work_of
from ..tile.analyses.uses import turns_of
from ..tile.program import CallStep, Program, Role


def matrix_flops(fn: Function) -> int:
    """Multiplications and additions of the matrix products and convolutions of static sizes."""
    total = 0
    for node in decompose(fn).nodes:
        match node.op:
            case Matmul(lhs=lhs):
                total += 2 * _count(node.results[0].shape) * int(lhs.type.static_shape[-1])
            case Conv(weight=weight):
                per_output = _count(weight.shape) // max(1, weight.type.static_shape[0])
                total += 2 * _count(node.results[0].shape) * per_output
            case ConvWeightGradient(dy=dy):
                windows = _count(dy.shape) // max(1, node.results[0].type.static_shape[0])
                total += 2 * _count(node.results[0].shape) * windows
            case Scan(length=int(length), step=step):
                total += length * matrix_flops(step)
            case ConvTranspose(x=x, weight=weight):
                per_input = _count(weight.shape) // max(1, weight.type.static_shape[0])
                total += 2 * _count(x.shape) * per_input
    return total


def _count(shape: Sequence[object]) -> int:
    return math.prod(entry for entry in shape if isinstance(entry, int))


@dataclass(frozen=True)
class StepWork:
    """What a step does in all of its `turns`: operations, those among them that instructions of
    narrow products do, and bytes read and written, of each turn distinct ones.

    `arena_bytes` of them are of intermediates, the others of what lies outside of the arena.
    """

    operations: int
    bytes_read: int
    bytes_written: int
    arena_bytes: int
    turns: int = 1
    narrow: Mapping[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return self.bytes_read + self.bytes_written

    @property
    def bytes_at_once(self) -> int:
        """Those of one turn, which a cache may hold until the next."""
        return self.bytes // self.turns

    def repeated(self, turns: int) -> StepWork:
        """The work of so many turns."""
        return StepWork(
            self.operations * turns,
            self.bytes_read * turns,
            self.bytes_written * turns,
            self.arena_bytes * turns,
            self.turns * turns,
            {name: count * turns for name, count in self.narrow.items()},
        )


def step_works(program: Program) -> tuple[StepWork, ...]:
    """The work of every call in all of its turns, its kernel's padding included."""
    works = {kernel.name: work_of(kernel) for kernel in program.kernels}
    return tuple(
        _step_work(program, call, works).repeated(turns)
        for call, turns in zip(program.calls, turns_of(program), strict=True)
    )


def _step_work(program: Program, step: CallStep, works: Mapping[str, Work]) -> StepWork:
    """A view that is given twice counts once, and of a view no more than what is accessed."""
    kernel, work = program.kernel(step.kernel), works[step.kernel]
    moved = {True: 0, False: 0}
    arena = 0
    seen = set()
    for param, view in zip(kernel.params, step.args, strict=True):
        writes = param.name in kernel.outputs
        if (view, writes) in seen:
            continue
        seen.add((view, writes))
        size = min(param.elements, work.accesses[param.name]) * param.dtype.bytes
        moved[writes] += size
        arena += size if program.slot(view.slot).role is Role.ARENA else 0
    return StepWork(work.operations, moved[False], moved[True], arena, narrow=work.narrow)


def footprint(program: Program) -> int:
    """The bytes that one call touches at most: constants, inputs, results and the arena."""
    outside = sum(
        slot.type.nbytes for slot in program.slots if slot.role not in (Role.ARENA, Role.STATUS)
    )
    return outside + (program.memory.arena_bytes if program.memory is not None else 0)
