"""A compiled program of the CPU: code, constants, one arena and a lock."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from ...errors import RunError, check
from ...memory import aligned_bytes
from ...tile.program import Memory, Program
from ...types import Array
from ..base import Results, check_no_stream, fault_error, in_order
from .entry.entry import Entry
from .entry.numpy_header import array_header
from .image import Image
from .machine.jit import Library
from .pool.pool import shared_pool
from .program.body import TICKS
from .program.state import State


@dataclass(frozen=True)
class Code:
    """What executables of one program share: machine code, constants, texts."""

    image: Image
    library: Library
    constants: Sequence[Array]
    stages: Mapping[str, str]
    make_program: Callable[[], Program]
    timed: bool = False  # the code notes when each step ends; clones share the place it does so
    report: Mapping[str, float] = field(default_factory=dict)  # seconds by step of compilation

    @cached_property
    def program(self) -> Program:
        """The program, which running it does not take."""
        return self.make_program()


class CpuExecutable:
    """A callable of NumPy arrays, in the order of the parameters or by name.

    One call at a time: calls from several threads wait for one another. `clone()` shares code and
    constants but has its own arena, for callers in parallel.
    """

    def __init__(self, code: Code, threads: int | None) -> None:
        self._code = code
        self._threads = threads
        self._pool = shared_pool(threads)
        workers = 1 if self._pool is None else self._pool.threads
        self._arena = aligned_bytes(max(1, code.image.text.arena_bytes(workers)))
        self._pointers = (ctypes.c_void_p * max(1, len(code.constants)))(
            *(array.ctypes.data for array in code.constants)
        )
        state = State(
            arena=self._arena.ctypes.data,
            pool=None if self._pool is None else self._pool.address,
            constants=ctypes.addressof(self._pointers),
        )
        self._entry = Entry(
            code.library,
            code.image.parameters,
            code.image.results,
            state,
            header=array_header(),
            status_error=partial(fault_error, code.image.faults),
            owners=(code, self._arena, self._pointers, self._pool),
        )
        _alive.add(self)

    @property
    def stages(self) -> Mapping[str, str]:
        """The text of every stage: "graph", "fused", "tile", "llvm", "asm"."""
        return self._code.stages

    @property
    def memory(self) -> Memory:
        """The memory plan's figures."""
        memory = self._code.image.memory
        check(memory is not None, "the program has no memory plan", RunError)
        assert memory is not None
        return memory

    @property
    def program(self) -> Program:
        return self._code.program

    @property
    def compile_seconds(self) -> Mapping[str, float]:
        """The time of each step of compilation."""
        return self._code.report

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self._code.image.parameters)

    def step_ticks(self) -> Array:
        """The machine's counter at the start of the last call and after each of the program's
        calls, as if all turns of a loop's calls came one after the other: i64, one more than there
        are calls. Only of code compiled as `timed`."""
        check(self._code.timed, "this executable was not compiled as timed", RunError)
        rows = np.array((0, *self._code.image.text.call_rows)).cumsum()
        address = self._code.library.address(TICKS)
        every = (ctypes.c_int64 * (int(rows[-1]) + 1)).from_address(address)
        ticks: Array = np.array(every, np.int64).cumsum()[rows]
        return ticks

    def __call__(
        self,
        *arrays: object,
        out: Array | Sequence[Array] | None = None,
        stream: object = None,
        **named: object,
    ) -> Results:
        """Run. Gives one array, or a tuple where the function has several results.

        `out` takes the result(s), so that the call allocates nothing. Ctrl-C, or what else makes a
        signal's handler raise an error, ends a long call within the step at work; where arrays are
        donated, after the last step, so that they are never half new.
        """
        if stream is not None:
            check_no_stream(stream, "a CPU")
        given = in_order(self.parameters, arrays, named) if named else arrays
        if isinstance(out, np.ndarray):
            out = (out,)
        results = self._entry(given, out)
        return results[0] if len(results) == 1 else results

    @property
    def run(self) -> Callable[[Sequence[object]], Results]:
        """A call with arrays in order and nothing else, sooner where there is one result."""
        return self._entry.one if self._entry.gives_one else self._run_all

    def _run_all(self, arrays: Sequence[object]) -> Results:
        return self(*arrays)

    def clone(self) -> CpuExecutable:
        """Another executable of the same code and constants, to call at the same time."""
        return CpuExecutable(self._code, self._threads)

    def renew_lock(self) -> None:
        """Forget a lock that a thread of the parent process held at a fork."""
        self._entry.renew_lock()


# Weak, so that an executable's memory goes with its last user.
_alive: weakref.WeakSet[CpuExecutable] = weakref.WeakSet()


def _renew_locks() -> None:
    for executable in list(_alive):
        executable.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
