"""What running a program takes beside its machine code and its data: small, and kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...location import Location
from ...tile.program import Fault, Memory, Program, Role
from ...type_parser import parse_tensor_type
from ...types import TensorType
from ..arrays import ArraySpec, specs_of
from .program.modules import ProgramText


@dataclass(frozen=True)
class Image:
    """A program's texts and what its executable tells of it."""

    text: ProgramText
    parameters: tuple[ArraySpec, ...]
    results: tuple[ArraySpec, ...]
    constants: tuple[tuple[str, TensorType], ...]  # the slots in their order
    faults: Mapping[int, Fault]
    memory: Memory | None

    @staticmethod
    def of(program: Program, text: ProgramText) -> Image:
        constants = tuple(
            (slot.name, slot.type) for slot in program.slots if slot.role is Role.CONSTANT
        )
        faults = dict(program.faults)
        return Image(text, *specs_of(program), constants, faults, program.memory)

    def to_json(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""

        def specs(given: tuple[ArraySpec, ...]) -> list[Any]:
            return [(spec.name, str(spec.type), spec.donor) for spec in given]

        return {
            "text": asdict(self.text),
            "parameters": specs(self.parameters),
            "results": specs(self.results),
            "constants": [(name, str(type_)) for name, type_ in self.constants],
            "faults": [(code, asdict(fault)) for code, fault in self.faults.items()],
            "memory": None if self.memory is None else asdict(self.memory),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Image:
        """What `to_json` gave; KeyError, TypeError or ValueError for anything else."""

        def specs(given: list[Any]) -> tuple[ArraySpec, ...]:
            return tuple(
                ArraySpec(name, parse_tensor_type(type_), donor) for name, type_, donor in given
            )

        text, memory = data["text"], data["memory"]
        return Image(
            ProgramText(**{**text, **_tuples(text)}),
            specs(data["parameters"]),
            specs(data["results"]),
            tuple((name, parse_tensor_type(type_)) for name, type_ in data["constants"]),
            {
                code: Fault(fault["message"], Location(**fault["location"]))
                for code, fault in data["faults"]
            },
            None if memory is None else Memory(**{**memory, **_tuples(memory)}),
        )


def _tuples(fields: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The fields that JSON made lists of."""
    return {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
