"""What a backend is: it turns a planned Program into something that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias

from ..errors import InputError, RunError, check
from ..ir import ConstantData
from ..target import Target
from ..tile.program import Fault, Memory, Program
from ..types import Array

Results: TypeAlias = Array | tuple[Array, ...]
Texts: TypeAlias = Mapping[str, Callable[[], str]]  # of the stages, each made when it is asked for


class Executable(Protocol):
    """A compiled program, callable with arrays in the order of `parameters` or by name."""

    @property
    def parameters(self) -> tuple[str, ...]: ...

    @property
    def stages(self) -> Mapping[str, str]:
        """The text of every stage, by name."""

    @property
    def program(self) -> Program: ...

    @property
    def memory(self) -> Memory: ...

    @property
    def compile_seconds(self) -> Mapping[str, float]:
        """The time of each step of compilation."""

    def __call__(
        self,
        *arrays: object,
        out: Array | Sequence[Array] | None = None,
        stream: object = None,
        **named: object,
    ) -> Results:
        """Run. `stream` is of a card."""

    @property
    def run(self) -> Callable[[Sequence[object]], Results]:
        """A call with arrays in the order of `parameters` and nothing else."""

    def clone(self) -> Executable:
        """Another executable of the same code, to call at the same time."""


class Backend(Protocol):
    """A way to run programs made for `target`."""

    @property
    def target(self) -> Target: ...

    def compile(
        self,
        program: Program,
        constants: Mapping[str, ConstantData],
        *,
        threads: int | None,
        stages: Texts,
        seconds: Mapping[str, float],
    ) -> Executable:
        """Make the program run. `stages` and `seconds` are those of the steps before."""

    def stage_texts(self, program: Program) -> Texts:
        """The texts that this backend makes of a program."""


class Stages(Mapping[str, str]):
    """Texts by name, made when they are first read."""

    def __init__(self, makers: Texts) -> None:
        self._makers = dict(makers)
        self._texts: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._makers:
            raise KeyError(f"no stage '{name}'; there are {', '.join(self._makers)}")
        if name not in self._texts:
            self._texts[name] = self._makers[name]()
        return self._texts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def in_order(
    names: Sequence[str], arrays: Sequence[object], named: Mapping[str, object]
) -> list[object]:
    """Arrays given by place, then those given by name, in the order of `names`.

    `InputError` for a name that is unknown, missing, or given twice.
    """
    unknown = sorted(set(named) - set(names))
    have = ", ".join(names)
    check(not unknown, f"no parameter {', '.join(unknown)}; it has {have}", InputError)
    twice = [name for name in names[: len(arrays)] if name in named]
    check(not twice, f"{', '.join(twice)} given by place and by name", InputError)
    missing = [name for name in names[len(arrays) :] if name not in named]
    check(not missing, f"missing {', '.join(missing)}", InputError)
    return [*arrays, *(named[name] for name in names[len(arrays) :])]


def check_no_stream(stream: object, target: str) -> None:
    """`InputError` where a stream is given to what is not a card."""
    check(stream is None, f"stream= is for cards; this is compiled for {target}", InputError)


def fault_error(faults: Mapping[int, Fault], status: int) -> RunError:
    """The error for a status other than 0: it names the operation's fault and the user's line."""
    fault = faults.get(status)
    if fault is None:
        return RunError(f"the program reported the unknown fault {status}")
    return RunError(f"{fault.location.full()}: {fault.message}")


@contextmanager
def timed_as(report: dict[str, float], name: str) -> Iterator[None]:
    """Note in `report` how many seconds a step took."""
    start = time.perf_counter()
    yield
    report[name] = time.perf_counter() - start
