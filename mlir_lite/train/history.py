"""What a training has measured: by step and by epoch, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..types import Array
from .plot import Panel, chart

_STEPS, _EPOCHS = "history.steps.", "history.epochs."


@dataclass
class History:
    """`steps["loss"]` has a number for each step, `epochs["loss"]` the mean of each epoch.

    `epochs["validation loss"]` is what held-out data gave after each.
    """

    _steps: dict[str, list[float]] = field(default_factory=dict)
    _epochs: dict[str, list[float]] = field(default_factory=dict)

    @property
    def steps(self) -> dict[str, Array]:
        """The numbers of each quantity, one a step."""
        return {name: np.array(values) for name, values in self._steps.items()}

    @property
    def epochs(self) -> dict[str, Array]:
        """The numbers of each quantity, one an epoch."""
        return {name: np.array(values) for name, values in self._epochs.items()}

    def add_step(self, values: Mapping[str, float]) -> None:
        """Note what a step gave, by name."""
        for name, value in values.items():
            self._steps.setdefault(name, []).append(value)

    def end_epoch(self, steps: int, validation: Mapping[str, float]) -> dict[str, float]:
        """Note the means of the epoch's steps, and what validation gave; both by name."""
        ended = {name: float(np.mean(values[-steps:])) for name, values in self._steps.items()}
        ended |= {f"validation {name}": value for name, value in validation.items()}
        for name, value in ended.items():
            self._epochs.setdefault(name, []).append(value)
        return ended

    def to_arrays(self) -> dict[str, Array]:
        """All of it by name, for a checkpoint."""
        steps = {f"{_STEPS}{name}": values for name, values in self.steps.items()}
        return steps | {f"{_EPOCHS}{name}": values for name, values in self.epochs.items()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Array]) -> History:
        """What `to_arrays` gave."""
        made = History()
        for name, values in arrays.items():
            for prefix, into in ((_STEPS, made._steps), (_EPOCHS, made._epochs)):
                if name.startswith(prefix):
                    into[name.removeprefix(prefix)] = values.tolist()
        return made

    def plot(self, path: str | Path) -> None:
        """Write an SVG picture: a panel for each measure, its steps and its epochs."""
        panels = []
        for name, values in self.steps.items():
            panel = Panel(name, values)
            for label in (name, f"validation {name}"):
                if label in self._epochs:
                    panel.epochs[label] = self.epochs[label]
            panels.append(panel)
        Path(path).write_text(chart(panels), encoding="utf-8")
