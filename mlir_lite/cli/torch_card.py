"""PyTorch on the card that is here: timed by the card's clock, as our own runs are.

A run is launched as a CUDA graph where its calls can be put into one, which is what serves torch
best: ours are launched so too. What asks for data on the way, as loops do, is called as it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from ..backends.cuda.card.timing import RUNS, set_count
from ..errors import MissingExtraError, UnsupportedError, check
from ..ir import Function
from ..types import Array
from .torch_runner import Tensor, Torch, TorchCall, first_call, function_in_torch, installed_torch

_DEVICE = "cuda"


class Sampled(Protocol):
    """Runs that can be timed again and again, in turn with others."""

    def sample(self) -> float:
        """Seconds of a run."""


def card_torch() -> Torch:
    """Torch that knows the card. `MissingExtraError` or `UnsupportedError` where there is none."""
    torch = installed_torch()
    known = torch.cuda.is_available()
    check(known, f"the torch that is here, {torch.__version__}, knows no card", UnsupportedError)
    return torch


def has_card_torch() -> bool:
    """Whether there is one."""
    try:
        card_torch()
    except (UnsupportedError, MissingExtraError):
        return False
    return True


class TorchRuns:
    """Runs of a function by torch, on sets of tensors that take turns."""

    def __init__(
        self, name: str, fn: Function, arrays: Sequence[Array], precision: str, cache: int
    ) -> None:
        self._torch = torch = card_torch()
        self._call: TorchCall = function_in_torch(name, fn, _DEVICE, precision)
        size = sum(value.type.nbytes for value in (*fn.params, *fn.results))
        there = import_module(f"{__package__.rpartition('.')[0]}.exporters.torch.arrays")
        self._array_of = there.array_of
        self._sets = [
            [there.tensor_of(array, _DEVICE) for array in arrays]
            for _ in range(set_count(size, cache))
        ]
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):  # where what is called first does not hold up the capture
            first_call(name, self._call, self._sets[0])
            self._once()
        torch.cuda.synchronize()
        self._graph = self._captured()

    def _once(self) -> Sequence[tuple[Tensor, ...]]:
        return [self._call(*tensors) for tensors in self._sets]

    def _captured(self) -> Torch | None:
        """The calls on all sets as one graph; None where they cannot be put into one."""
        graph = self._torch.cuda.CUDAGraph()
        try:
            with self._torch.cuda.graph(graph):
                self._kept = self._once()
        except RuntimeError:
            return None
        return graph

    @property
    def is_graph(self) -> bool:
        return self._graph is not None

    def sample(self) -> float:
        """Seconds of a run by the card's clock."""
        start, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(RUNS):
            if self._graph is None:
                self._once()
            else:
                self._graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / (len(self._sets) * RUNS)

    def call_seconds(self) -> float:
        """Of a call from Python on tensors that are on the card, to its end."""
        start = time.perf_counter()
        self._call(*self._sets[0])
        self._torch.cuda.synchronize()
        return time.perf_counter() - start

    def results(self) -> list[Array]:
        return [self._array_of(result) for result in self._call(*self._sets[0])]
