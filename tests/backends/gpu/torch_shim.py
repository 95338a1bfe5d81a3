"""The CPU in the place of the card that torch would have: its events, streams and graphs."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass

import pytest

from mlir_lite.cli import torch_card


@dataclass
class Event:
    """The clock of the CPU."""

    at: float = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        """All is done at once."""

    def elapsed_time(self, end: Event) -> float:
        return (end.at - self.at) * 1e3


@dataclass
class Graph:
    """Counts how often it is launched; what is in it was computed when it was made."""

    replays: int = 0

    def replay(self) -> None:
        self.replays += 1


def put_torch_on_a_card(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Let torch know a card from here on; the graphs that are made on it."""
    cuda = pytest.importorskip("torch").cuda
    graphs: list[Graph] = []

    def graph() -> Graph:
        graphs.append(Graph())
        return graphs[-1]

    replaced = {
        "is_available": lambda: True,
        "Event": lambda enable_timing: Event(),
        "Stream": object,
        "stream": nullcontext,
        "synchronize": lambda: None,
        "CUDAGraph": graph,
        "graph": nullcontext,
    }
    for name, stand_in in replaced.items():
        assert hasattr(cuda, name)
        monkeypatch.setattr(cuda, name, stand_in)
    monkeypatch.setattr(torch_card, "_DEVICE", "cpu")
    return graphs
