"""Runs a program's plan on a device: memory, launches, loops and branches.

The device may be a card, or anything else that copies memory and launches kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ...errors import InputError, RunError, check
from ...tile.program import (
    CallStep,
    IfStep,
    LoopStep,
    Role,
    Slot,
    Step,
    View,
    WhileStep,
)
from ...types import Array
from .kernels import CudaKernel
from .source import CudaSource

_STATUS = "status"


class Device(Protocol):
    """What runs kernels. Memory is known by its address."""

    def allocate(self, count: int) -> int:
        """The address of so many fresh bytes."""

    def release(self, address: int) -> None:
        """Give memory back."""

    def upload(self, address: int, array: Array) -> None:
        """Copy a contiguous array to the device."""

    def download(self, address: int, array: Array) -> None:
        """Fill a contiguous array from the device, after all that was launched before."""

    def launch(self, kernel: CudaKernel, addresses: Sequence[int]) -> None:
        """Run a kernel after all that was launched before."""


@dataclass(frozen=True)
class Launcher:
    """A program on a device, its constants there already."""

    source: CudaSource
    device: Device
    constants: Mapping[str, Array]

    @cached_property
    def _memory(self) -> Mapping[str, int]:
        """The address of every slot; those of the arena lie in one allocation."""
        program = self.source.program
        arena = self.device.allocate(program.memory.arena_bytes if program.memory else 0)
        found: dict[str, int] = {}
        for slot in program.slots:
            if slot.role is Role.ARENA:
                found[slot.name] = arena + (slot.offset or 0)
            elif slot.donor is None:
                found[slot.name] = self.device.allocate(slot.type.nbytes)
            if slot.role is Role.CONSTANT:
                self.device.upload(found[slot.name], self._constant(slot))
        return found | {slot.name: found[slot.memory] for slot in program.slots}

    def _constant(self, slot: Slot) -> Array:
        array = self.constants[slot.name].astype(slot.type.dtype.numpy, copy=False)
        return np.ascontiguousarray(array)

    def __call__(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The results for these arrays. `InputError` for arrays that do not fit, `RunError` for
        faults of their data."""
        program = self.source.program
        for name, array in zip(program.params, arrays, strict=True):
            slot = program.slot(name)
            fits = (array.shape, array.dtype) == (slot.type.static_shape, slot.type.dtype.numpy)
            have = f"{array.dtype}{list(array.shape)}"
            check(fits, f"the parameter '{name}' is {slot.type}, not {have}", InputError)
            self.device.upload(self._memory[name], np.ascontiguousarray(array))
        if _STATUS in self._memory:
            self.device.upload(self._memory[_STATUS], np.zeros(1, np.int64))
        self._run(program.steps, {})
        results = []
        for name in program.results:
            type_ = program.slot(name).type
            result = np.empty(type_.static_shape, type_.dtype.numpy)
            self.device.download(self._memory[name], result)
            results.append(result)
        return tuple(results)

    def _run(self, steps: Sequence[Step], turns: Mapping[str, int]) -> None:
        for step in steps:
            match step:
                case CallStep():
                    self._call(step, turns)
                case LoopStep():
                    for turn in range(step.count):
                        self._run(step.body, {**turns, step.name: turn})
                case IfStep():
                    holds = self._holds(step.condition, turns)
                    self._run(step.then if holds else step.otherwise, turns)
                case WhileStep():
                    self._while(step, turns)

    def _call(self, step: CallStep, turns: Mapping[str, int]) -> None:
        kernel = self.source.kernels[step.kernel]
        addresses = [self._address(view, turns) for view in step.args]
        for param, view, address in zip(kernel.params, step.args, addresses, strict=True):
            check(
                address % max(1, param.alignment) == 0,
                f"'{view.slot}' lies at address {address:#x}: {kernel.name} reads and writes "
                f"{param.alignment} bytes at once and needs a multiple of them",
                InputError,
            )
        self.device.launch(kernel, addresses)
        if any(view.slot == _STATUS for view in step.args):
            # What follows may rely on the data being right.
            status = np.empty(1, np.int64)
            self.device.download(self._memory[_STATUS], status)
            self._raise_fault(int(status[0]))

    def _while(self, step: WhileStep, turns: Mapping[str, int]) -> None:
        count = 0
        self._run(step.test, turns)
        while self._holds(step.condition, turns):
            if count == step.limit:
                self._raise_fault(step.fault)
            self._run(step.body, turns)
            self._run(step.test, turns)
            count += 1

    def _address(self, view: View, turns: Mapping[str, int]) -> int:
        size = self.source.program.slot(view.slot).type.dtype.bytes
        return self._memory[view.slot] + view.start(turns) * size

    def _holds(self, view: View, turns: Mapping[str, int]) -> bool:
        value = np.empty(1, np.bool_)
        self.device.download(self._address(view, turns), value)
        return bool(value[0])

    def _raise_fault(self, status: int) -> None:
        if status:
            fault = self.source.program.faults[status]
            raise RunError(f"{fault.location}: {fault.message}")
