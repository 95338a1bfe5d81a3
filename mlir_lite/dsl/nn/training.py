"""What a module's forward pass notes while it is traced for training.

Dropout asks for a seed; a norm hands over the new values of its running statistics. The tracer
makes of them a parameter and results of the function.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import check
from ...ir import Value


@dataclass(eq=False)
class Training:
    """The notes of one trace: `seed` is the function's parameter, if anything draws from it."""

    seed: Value
    draws: int = 0
    _updated: dict[Value, Value] = field(default_factory=dict)

    def draw(self) -> tuple[Value, int]:
        """The seed, and a stream of it that nobody else draws from."""
        self.draws += 1
        return self.seed, self.draws - 1

    def latest(self, statistic: Value) -> Value:
        """A running statistic as the forward pass has left it so far."""
        return self._updated.get(statistic, statistic)

    def update(self, name: str, statistic: Value, value: Value) -> None:
        """Note a running statistic's new value."""
        same = value.type == statistic.type
        check(same, f"the statistic '{name}' is {statistic.type}, its new value {value.type}")
        self._updated[statistic] = value
