"""Calling an executable from Python: results allocated, arrays checked in compiled code, run.

The compiled check reads the array objects themselves, which costs nanoseconds where NumPy's own
interfaces cost microseconds. What it refuses is looked at again in Python: either it is right after
all (a subclass, another library's array) and runs, or an error says what to change.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ....errors import RunError
from ....types import Array
from ...arrays import (
    ArraySpec,
    Facts,
    check_array,
    check_overlap,
    plain_array,
    plain_result,
    wrong_count,
)
from ...results import allocators
from ..machine.jit import Library
from ..program.state import State
from .numpy_header import ArrayHeader
from .python_call import built_in
from .text import Fault, decode

# What a status other than 0 means to the user: an error naming operation and line.
StatusError: TypeAlias = Callable[[int], Exception]


class Entry:
    """The call into one library for one state.

    The state's arena and status word serve one call: those from several threads wait for one
    another.
    """

    def __init__(
        self,
        library: Library,
        parameters: Sequence[ArraySpec],
        results: Sequence[ArraySpec],
        state: State,
        *,
        header: ArrayHeader | None,
        status_error: StatusError,
        owners: object = None,
    ) -> None:
        """`library` exports `entry_exports`, from the `entry_text` of the same arrays and header.

        `state` comes with arena, pool and constants, and `owners` are what these live by; status
        and types are filled in here.
        """
        self._lock = threading.Lock()
        self._library = library
        self._parameters, self._results = tuple(parameters), tuple(results)
        self._status_error = status_error
        self._status = ctypes.c_int64(0)
        self._dtypes = [spec.type.dtype.numpy for spec in (*parameters, *results)]
        types = (id(np.ndarray), *map(id, self._dtypes))  # held above: only addresses go in
        self._types = (ctypes.c_void_p * len(types))(*types)
        self._state, self._owners = state, owners
        state.status = ctypes.addressof(self._status)
        state.types = ctypes.addressof(self._types)
        self._state_address = ctypes.addressof(state)
        self._allocators = allocators([spec for spec in results if spec.donor is None])
        self._donates = len(self._allocators) < len(self._results)
        self.gives_one = len(self._allocators) == len(self._results) == 1
        signature = ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
        self._call: Callable[..., int] = lambda *_: Fault.TYPE
        if header is None:
            self._run = ctypes.CFUNCTYPE(*signature)(library.address("ml_run"))
        else:
            self._call = built_in(library.address("ml_call"), self._state_address)
            # Of Python's own kind: an error that a signal's handler raised is raised here.
            self._run = ctypes.PYFUNCTYPE(*signature)(library.address("ml_run_unlocked"))
            # What is overwritten in place would be neither old nor new.
            state.poll = None if self._donates else library.address("ml_poll")

    def __call__(
        self, arrays: Sequence[object], out: Sequence[Array] | None = None
    ) -> tuple[Array, ...]:
        """Run on `arrays` and return the results, written into `out` where it is given.

        `out` has one array for every result without a donor; the others are the donors
        themselves. A signal whose handler raises an error (Ctrl-C) ends the call within the step at
        work, unless there are donors, which are written to the end. Raises `InputError` where an
        array does not fit, `RunError` once the library is closed, and what `status_error` gives
        for a fault of the data.
        """
        if self._library.closed or len(arrays) != len(self._parameters):
            raise self._refusal(arrays)
        if out is None:
            results = tuple([allocate() for allocate in self._allocators])
        else:
            results = tuple(out)
            if len(results) != len(self._allocators):
                expected = [spec for spec in self._results if spec.donor is None]
                raise wrong_count(len(results), expected, "arrays in out")
        if self._donates:
            results = self._with_donors(results, arrays)
        with self._lock:
            code = self._call(*arrays, *results)
            if code:
                self._look_again(code, arrays, results)
        return results

    def one(self, arrays: Sequence[object]) -> Array:
        """The result where it `gives_one`, of its own: what most calls ask for, and sooner."""
        if self._library.closed or len(arrays) != len(self._parameters):
            raise self._refusal(arrays)
        result = self._allocators[0]()
        with self._lock:  # an interrupt between `acquire()` and `try` would leave it locked
            code = self._call(*arrays, result)
            if code:
                self._look_again(code, arrays, (result,))
        return result

    def renew_lock(self) -> None:
        """Forget a lock that a thread of the parent process held at a fork."""
        self._lock = threading.Lock()

    def _refusal(self, arrays: Sequence[object]) -> Exception:
        if self._library.closed:
            return RunError("this executable is closed")
        return wrong_count(len(arrays), self._parameters, "arrays")

    def _with_donors(self, fresh: Sequence[Array], arrays: Sequence[object]) -> tuple[Array, ...]:
        """One array a result: the donor's where there is one, else the next of `fresh`."""
        remaining = iter(fresh)
        return tuple(
            next(remaining)
            if spec.donor is None
            else plain_result(arrays[spec.donor], self._parameters[spec.donor])
            for spec in self._results
        )

    def _look_again(self, code: int, arrays: Sequence[object], results: Sequence[Array]) -> None:
        """Turn a code into an error, or run after all where the arrays do fit."""
        if decode(code)[0] is Fault.STATUS:
            raise self._status_error(self._status.value)
        inputs = list(map(plain_array, arrays, self._parameters))
        outputs = list(map(plain_result, results, self._results))
        known = [Facts.of(array) for array in inputs], [Facts.of(array) for array in outputs]
        for facts, spec in zip(known[0], self._parameters, strict=True):
            check_array(facts, spec, writeable=False)
        for facts, spec in zip(known[1], self._results, strict=True):
            check_array(facts, spec, writeable=True)
        check_overlap(*known, (self._parameters, self._results))
        addresses = [facts.address for facts in (*known[0], *known[1])]
        arguments = (ctypes.c_void_p * len(addresses))(*addresses)
        if self._run(self._state_address, arguments):
            raise self._status_error(self._status.value)
