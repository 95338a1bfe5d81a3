"""What became of each real model in a test run, for the lines at the run's end."""

from collections import Counter
from dataclasses import dataclass, field

from mlir_lite.tile.program import Memory


@dataclass
class Ledger:
    """Outcomes of the tests that run a model through the compiler, and models not to be had."""

    _outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    _unavailable: dict[str, str] = field(default_factory=dict)
    _plans: dict[str, Memory] = field(default_factory=dict)

    def lacks(self, model: str, reason: str) -> None:
        self._unavailable[model] = reason

    def is_available(self, model: str) -> bool:
        return model not in self._unavailable

    def record(self, model: str, outcome: str) -> None:
        """Note one case's outcome: "passed" or "failed"."""
        self._outcomes.setdefault(model, Counter())[outcome] += 1

    def plan(self, case: str, memory: Memory) -> None:
        """Note the memory plan of a model at one case's sizes."""
        self._plans[case] = memory

    def lines(self) -> list[str]:
        """One line a model, `name: run`, `name: failed` or `name: skipped: reason`."""
        run = [
            f"{model}: {'failed' if count['failed'] else 'run'} "
            f"({count['passed']} of {count.total()} cases)"
            for model, count in self._outcomes.items()
        ]
        skipped = [f"{model}: skipped: {reason}" for model, reason in self._unavailable.items()]
        return sorted(run + skipped)

    def plan_lines(self) -> list[str]:
        """A table of bytes: a line a plan, its arena before what it is to be compared with."""
        if not self._plans:
            return []
        heads = ("arena", "lower bound", "not in place", "side by side")
        rows = [
            (
                memory.arena_bytes,
                memory.lower_bound_bytes,
                memory.without_reuse_bytes,
                memory.total_bytes,
            )
            for memory in self._plans.values()
        ]
        cells = [heads, *(tuple(f"{figure:,}" for figure in row) for row in rows)]
        width = max(map(len, self._plans))
        return [
            f"{case:{width}}  " + "  ".join(f"{text:>12}" for text in row)
            for case, row in zip(("bytes", *self._plans), cells, strict=True)
        ]
