"""A compiled program of a card: source, and from its first call on machine code, weights, an arena.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import RunError, check
from ...ir import ConstantData
from ...tile.program import Memory, Program
from ..base import in_order
from .card.calls import Caller
from .card.device import Device
from .card.runner import Loaded
from .source.source import CudaSource


@dataclass
class Code:
    """What executables of one program share: source and texts, and once it is called the program
    on a device."""

    source: CudaSource
    constants: Mapping[str, ConstantData]
    stages: Mapping[str, str]
    seconds: Mapping[str, float]  # by step of compilation
    device: Callable[[], Device]  # finds the device, or says what is missing
    _loaded: Loaded | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def loaded(self) -> Loaded:
        """The program on its device, brought there the first time. `UnsupportedError` where there
        is none."""
        with self._lock:
            if self._loaded is None:
                self._loaded = Loaded.on(self.device(), self.source, self.constants)
                self.constants = {}  # they are on the device, and need not be here too
            return self._loaded


class CudaExecutable:
    """A callable of arrays, in the order of the parameters or by name.

    NumPy arrays are copied to the card and give NumPy arrays. Arrays on the card (`DeviceArray`,
    torch's, CuPy's, JAX's: whatever has `__dlpack__`) are taken as they are; if any is given, for a
    parameter or in `out`, the results stay on the card, and the call returns before they are
    computed, unless the program has to look at data on its way.

    One call at a time: calls from several threads wait for one another. `clone()` shares code and
    weights but has an arena and a stream of its own, for callers in parallel.
    """

    def __init__(self, code: Code) -> None:
        self._code = code
        self._caller: Caller | None = None
        self._lock = threading.Lock()

    @property
    def stages(self) -> Mapping[str, str]:
        """The text of every stage: "graph", "fused", "tile", "cuda", "ptx", "resources"."""
        return self._code.stages

    @property
    def program(self) -> Program:
        return self._code.source.program

    @property
    def memory(self) -> Memory:
        """The memory plan's figures."""
        memory = self.program.memory
        check(memory is not None, "the program has no memory plan", RunError)
        assert memory is not None
        return memory

    @property
    def compile_seconds(self) -> Mapping[str, float]:
        """The time of each step of compilation."""
        return self._code.seconds

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.program.params

    def __call__(
        self,
        *arrays: object,
        out: object = None,
        stream: object = None,
        **named: object,
    ) -> Any:  # arrays of the host, of the card, or of whoever owns those in `out`
        """Run. Gives one array, or a tuple where the function has several results.

        `out` takes the result(s). `stream` is where the work is put (a handle, or an object of
        `cuda.core`, torch or CuPy), by default a stream of the executable's own; arrays of others
        are waited for, and wait, as DLPack has it.
        """
        given = in_order(self.parameters, arrays, named) if named else arrays
        places = None if out is None else out if isinstance(out, (tuple, list)) else (out,)
        with self._lock:
            if self._caller is None:
                self._caller = Caller(self._code.loaded())
            results = self._caller(given, places, stream)
        return results[0] if len(results) == 1 else results

    def run(self, arrays: Sequence[object]) -> Any:
        return self(*arrays)

    def loaded(self) -> Loaded:
        """The program on its device, which it is brought to if it is not there yet."""
        return self._code.loaded()

    def clone(self) -> CudaExecutable:
        """Another executable of the same code and weights, to call at the same time."""
        return CudaExecutable(self._code)
