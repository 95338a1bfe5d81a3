"""What a backend is: it turns a Program into something that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..ir import ConstantData
from ..tile.program import Memory, Program
from ..types import Array


class Executable(Protocol):
    """A compiled function. `stages` holds the text of every stage by name."""

    @property
    def stages(self) -> Mapping[str, str]: ...

    @property
    def memory(self) -> Memory: ...

    def __call__(self, *arrays: object, out: object = None, **named: object) -> Results: ...


class Backend(Protocol):
    """A way to run Programs."""

    def compile(
        self, program: Program, constants: Mapping[str, ConstantData], *, threads: int | None
    ) -> Executable: ...


Results = Array | tuple[Array, ...]
