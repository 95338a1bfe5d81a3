"""Changed copies of a program's kernels, which some of its steps call in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypeAlias

from ...text import fresh_name
from ...tile.nodes import Kernel
from ...tile.program import CallStep, Program, Step, with_steps

# A program, and for each of its kernels that is a variant of another the name of that one.
Changed: TypeAlias = tuple[Program, Mapping[str, str]]


@dataclass
class Variants:
    """The kernels of a program, and of those that are new the names of the ones they are of."""

    kernels: dict[str, Kernel]
    originals: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program) -> Self:
        return cls({kernel.name: kernel for kernel in program.kernels})

    def call(self, step: CallStep, changed: Kernel, suffix: str) -> CallStep:
        """The step with its kernel as `changed`; equal changes of a kernel give one variant."""
        if changed == self.kernels[step.kernel]:
            return step
        return replace(step, kernel=self._name(step.kernel, changed, suffix))

    def _name(self, original: str, changed: Kernel, suffix: str) -> str:
        for name, other in self.originals.items():
            if other == original and self.kernels[name] == replace(changed, name=name):
                return name
        name = fresh_name(f"{original}_{suffix}", set(self.kernels))
        self.kernels[name] = replace(changed, name=name)
        self.originals[name] = original
        return name

    def program(self, program: Program, steps: tuple[Step, ...]) -> Changed:
        """The program with other steps; itself where they are the same."""
        if steps == program.steps:
            return program, {}
        return with_steps(program, steps, self.kernels.values()), self.originals
