"""What became of each real model in a test run, for the lines at the run's end."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Outcomes of the tests that run a model through the compiler, and models not to be had."""

    _outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    _unavailable: dict[str, str] = field(default_factory=dict)

    def lacks(self, model: str, reason: str) -> None:
        self._unavailable[model] = reason

    def is_available(self, model: str) -> bool:
        return model not in self._unavailable

    def record(self, model: str, outcome: str) -> None:
        """Note one case's outcome: "passed" or "failed"."""
        self._outcomes.setdefault(model, Counter())[outcome] += 1

    def lines(self) -> list[str]:
        """One line a model, `name: run`, `name: failed` or `name: skipped: reason`."""
        run = [
            f"{model}: {'failed' if count['failed'] else 'run'} "
            f"({count['passed']} of {count.total()} cases)"
            for model, count in self._outcomes.items()
        ]
        skipped = [f"{model}: skipped: {reason}" for model, reason in self._unavailable.items()]
        return sorted(run + skipped)
