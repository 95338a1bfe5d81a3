"""The reference backend: runs a Program in the tile interpreter, as it was planned and scheduled.

Slow, and strict: a read out of bounds, a race or a wrong memory plan is an error here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, check
from ..ir import ConstantData
from ..target import Target
from ..tile.checks.verify import verify_kernel, verify_program
from ..tile.interpreter import run_program
from ..tile.program import Memory, Program
from ..types import Array
from .base import Results, Stages, Texts, check_no_stream, in_order


@dataclass(frozen=True)
class ReferenceExecutable:
    """A program in the interpreter."""

    program: Program
    constants: Mapping[str, Array]
    stages: Mapping[str, str]
    compile_seconds: Mapping[str, float]

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.program.params

    @property
    def memory(self) -> Memory:
        assert self.program.memory is not None
        return self.program.memory

    def __call__(
        self,
        *arrays: object,
        out: Array | Sequence[Array] | None = None,
        stream: object = None,
        **named: object,
    ) -> Results:
        check_no_stream(stream, "the interpreter")
        given = [np.asarray(array) for array in in_order(self.parameters, arrays, named)]
        with np.errstate(all="ignore"):
            results = run_program(self.program, given, self.constants)
        results = self._placed(results, dict(zip(self.parameters, given, strict=True)), out)
        return results[0] if len(results) == 1 else results

    def run(self, arrays: Sequence[object]) -> Results:
        return self(*arrays)

    def _placed(
        self,
        results: Sequence[Array],
        given: Mapping[str, Array],
        out: Array | Sequence[Array] | None,
    ) -> tuple[Array, ...]:
        """The results in the arrays that they belong into: those of donors, then those of `out`."""
        donors = [self.program.slot(name).donor for name in self.program.results]
        fresh = donors.count(None)
        places = None if out is None else [out] if isinstance(out, np.ndarray) else list(out)
        if places is not None:
            count = f"{fresh} results, {len(places)} arrays in out"
            check(len(places) == fresh, count, InputError)
        remaining = iter(places or ())
        found: list[Array] = []
        for result, donor in zip(results, donors, strict=True):
            if donor is None and places is None:
                found.append(result)
                continue
            place = next(remaining) if donor is None else given[donor]
            place[...] = result
            found.append(place)
        return tuple(found)

    def clone(self) -> ReferenceExecutable:
        return self


@dataclass(frozen=True)
class ReferenceBackend:
    """Verifies every kernel and the plan, then interprets."""

    target: Target

    def compile(
        self,
        program: Program,
        constants: Mapping[str, ConstantData],
        *,
        threads: int | None,
        stages: Texts,
        seconds: Mapping[str, float],
    ) -> ReferenceExecutable:
        """`threads` changes nothing: the interpreter has one."""
        for kernel in program.kernels:
            verify_kernel(kernel)
        verify_program(program)
        data = {name: constant.array() for name, constant in constants.items()}
        texts = Stages({**stages, **self.stage_texts(program)})
        return ReferenceExecutable(program, data, texts, seconds)

    def stage_texts(self, program: Program) -> Texts:
        return {"tile": lambda: str(program)}
