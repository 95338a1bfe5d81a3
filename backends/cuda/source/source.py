"""A Program as one CUDA source: shared functions, kernels with the lines of the user's program
that they stand for, and the plan of the host as a comment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from ....location import UNKNOWN
from ....target import Target
from ....text import bytes_text
from ....tile.program import (
    CallStep,
    IfStep,
    LoopStep,
    Program,
    Role,
    Step,
    View,
    WhileStep,
)
from .aliases import in_place
from .functions import FUNCTIONS
from .group_wrappers import SPECIFIC
from .kernels import CudaKernel, emit_kernel
from .shared_memory import SHARED_BYTES
from .wrappers import WRAPPERS, needed


@dataclass(frozen=True)
class CudaSource:
    """A program's kernels in C++, by their names in the program."""

    program: Program
    target: Target
    kernels: Mapping[str, CudaKernel]

    @staticmethod
    def of(program: Program, target: Target) -> CudaSource:
        """The kernels that the program calls; `UnsupportedError` for what CUDA cannot do."""
        comments = _comments(program)
        used = {call.kernel for call in program.calls}
        shared = SHARED_BYTES if target.gpu is None else target.gpu.shared_bytes
        overlapping = in_place(program)
        kernels = {
            kernel.name: emit_kernel(
                kernel, comments[kernel.name], shared, apart=kernel.name not in overlapping
            )
            for kernel in program.kernels
            if kernel.name in used
        }
        return CudaSource(program, target, kernels)

    @cached_property
    def kernel_texts(self) -> str:
        return "\n\n".join(kernel.source for kernel in self.kernels.values())

    @property
    def block_threads(self) -> Mapping[str, int]:
        """The threads of a block of each kernel, by its name in the source."""
        return {kernel.name: prod(kernel.block) for kernel in self.kernels.values()}

    @property
    def asked_bytes(self) -> Mapping[str, int]:
        """The shared memory that each launch asks for, by the name of the kernel."""
        return {kernel.name: kernel.shared_bytes for kernel in self.kernels.values()}

    @cached_property
    def functions(self) -> str:
        """The shared functions that the kernels call, in plain C++."""
        return "\n\n".join(FUNCTIONS[name] for name in needed(self.kernel_texts)[1])

    @cached_property
    def wrappers(self) -> str:
        """The functions of the card's assembler that the kernels call."""
        return "\n\n".join(WRAPPERS[name] for name in needed(self.kernel_texts)[0])

    @property
    def architecture(self) -> str:
        """As compilers spell what the kernels need: `sm_90a` where they use what later cards have
        not, `sm_90` elsewhere."""
        assert self.target.gpu is not None
        return f"{self.target.gpu.architecture}{'a' if self.is_specific else ''}"

    @property
    def is_specific(self) -> bool:
        """Whether kernels use what later cards have not."""
        return not SPECIFIC.isdisjoint(needed(self.kernel_texts)[0])

    @cached_property
    def device(self) -> str:
        """All that runs on the card."""
        return "\n\n".join(filter(None, (self.wrappers, self.functions, self.kernel_texts)))

    @cached_property
    def alignments(self) -> Mapping[str, int]:
        """The bytes that the addresses of parameters and results must be multiples of, where that
        is more than an element: kernels read and write so much at once."""
        needed: dict[str, int] = {}
        for call in self.program.calls:
            for param, view in zip(self.kernels[call.kernel].params, call.args, strict=True):
                name = self.program.slot(view.slot).memory
                needed[name] = max(needed.get(name, 0), param.alignment)
        return {
            slot.name: needed[slot.name]
            for slot in self.program.slots
            if slot.role in (Role.PARAMETER, Role.RESULT)
            and needed.get(slot.name, 0) > slot.type.dtype.bytes
        }

    @cached_property
    def code(self) -> str:
        """The same without comments, which tell of lines of the user's that change nothing."""
        lines = self.device.splitlines()
        return "\n".join("" if line.startswith("//") else line for line in lines)

    def __str__(self) -> str:
        head = f"// @{self.program.name} for {self.target.name}: needs no header."
        plan = "\n".join(f"// {line}".rstrip() for line in self.plan())
        return f"{head}\n\n{self.device}\n\n{plan}\n"

    def plan(self) -> Iterator[str]:
        """What the host does, for people."""
        memory = self.program.memory
        arena = memory.arena_bytes if memory else 0
        yield f"The host: {bytes_text(arena)} of memory for what lies between kernels, then"
        yield from self._steps(self.program.steps, "  ")

    def _steps(self, steps: tuple[Step, ...], indent: str) -> Iterator[str]:
        inner = indent + "  "
        for step in steps:
            match step:
                case CallStep():
                    kernel = self.kernels[step.kernel]
                    sizes = f"<<<{_dim(kernel.grid)}, {_dim(kernel.block)}>>>"
                    args = ", ".join(self._view(view) for view in step.args)
                    yield f"{indent}{kernel.name}{sizes}({args})"
                case LoopStep():
                    yield f"{indent}for {step.name} in 0..{step.count}:"
                    yield from self._steps(step.body, inner)
                case WhileStep():
                    limit = "" if step.limit is None else f", {step.limit} times at most"
                    yield f"{indent}before each turn:"
                    yield from self._steps(step.test, inner)
                    yield f"{indent}while {self._view(step.condition)}{limit}:"
                    yield from self._steps(step.body, inner)
                case IfStep():
                    yield f"{indent}if {self._view(step.condition)}:"
                    yield from self._steps(step.then, inner)
                    yield f"{indent}else:"
                    yield from self._steps(step.otherwise, inner)

    def _view(self, view: View) -> str:
        slot = self.program.slot(view.slot)
        terms = [slot.name]
        if slot.role is Role.ARENA:
            terms[0] = f"{slot.name}@{slot.offset}"
        if view.offset:
            terms.append(str(view.offset))
        terms += [f"{loop} * {stride}" for loop, stride in view.strides]
        return " + ".join(terms)


def _dim(sizes: tuple[int, int, int]) -> str:
    x, y, z = sizes
    return str(x) if (y, z) == (1, 1) else f"dim3({x}, {y}, {z})"


def _comments(program: Program) -> dict[str, tuple[str, ...]]:
    """For each kernel the operations it stands for and where the user wrote them."""
    places: dict[str, dict[str, None]] = {}
    labels: dict[str, str] = {}
    for call in program.calls:
        labels.setdefault(call.kernel, call.label)
        found = places.setdefault(call.kernel, {})
        if call.location != UNKNOWN:
            found[str(call.location)] = None
    return {name: tuple(_comment(labels[name], list(found))) for name, found in places.items()}


def _comment(label: str, places: list[str]) -> Iterator[str]:
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    where = f": {', '.join(places[:3])}{more}" if places else ""
    if label or where:
        yield f"{label}{where}"

