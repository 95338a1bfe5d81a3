"""What a card told, as a table for people and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mlir_lite.cli.card_ceilings import ProductPeak


@dataclass
class Line:
    """What was found of a function."""

    name: str
    error: float | None = None  # relative to the largest result
    allowed: float | None = None
    seconds: float | None = None
    kernels: float | None = None  # seconds of all kernels, each alone and from memory
    gflops: float | None = None
    gigabytes: float | None = None
    share: float | None = None  # of what the card's ceilings allow
    others: dict[str, float] = field(default_factory=dict)  # seconds by torch and torch-compile
    failures: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether results are as near as they must be."""
        if self.failures:
            return "failed"
        if self.error is None or self.allowed is None:
            return "not known"
        return "yes" if self.error <= self.allowed else "no"


@dataclass
class Report:
    """All that was found on a card."""

    card: str
    target: str
    day: str
    copy_bandwidth: float | None = None
    peaks: dict[str, ProductPeak] = field(default_factory=dict)
    wrappers: str = ""
    products: dict[str, bool] = field(default_factory=dict)  # of warpgroups: whether exact
    lines: list[Line] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # beside those of functions
    not_compared: list[str] = field(default_factory=list)  # what torch could not do
    seconds: float = 0.0  # that it took

    @property
    def is_right(self) -> bool:
        """Whether nothing failed and nothing is wrong."""
        right = all(line.verdict in ("yes", "not known") for line in self.lines)
        return right and not self.failures and all(self.products.values())

    def markdown(self) -> str:
        head = (
            "function", "right", "error", "allowed", "µs", "GFLOP/s", "GB/s", "of limit",
            "µs of kernels", "torch, µs", "ratio", "torch.compile, µs", "ratio",
        )  # fmt: skip
        every = (head, ("---",) * len(head), *map(_cells, self.lines))
        return "\n".join(
            [
                f"# {self.card}, {self.day}",
                "",
                f"As {self.target}, in {self.seconds:.0f} s. Times are of runs as CUDA graphs on "
                "arrays that take turns, larger than the cache together; a ratio above 1 means "
                "that mlir-lite is faster. The limit is that of the ceilings.",
                "",
                *(f"- {what}" for what in self._ceilings()),
                f"- wrappers: {self.wrappers or 'not asked'}",
                *([f"- products of warpgroups: {self._exact()}"] if self.products else []),
                "",
                *(f"| {' | '.join(cells)} |" for cells in every),
                "",
                *self._problems(),
            ]
        )

    def _exact(self) -> str:
        wrong = [name for name, exact in self.products.items() if not exact]
        return f"**wrong** in {', '.join(wrong)}" if wrong else f"{len(self.products)} exact"

    def _ceilings(self) -> Iterator[str]:
        if self.copy_bandwidth is not None:
            yield f"ceiling of memory: copies, {self.copy_bandwidth / 1e9:.0f} GB/s"
        for peak in self.peaks.values():
            yield (
                f"ceiling of {peak.factors}: {peak.size}x{peak.size}, "
                f"{peak.flops / 1e12:.4g} TFLOP/s by {peak.by}"
            )

    def _problems(self) -> Iterator[str]:
        """What failed, in full, and what there was no time for."""
        failed = [what for line in self.lines for what in line.failures]
        yield from _listed("Failed", [*self.failures, *failed])
        yield from _listed("Not compared", self.not_compared)
        yield from _listed("Left out for want of time", self.left_out)


def _listed(title: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield from (f"{title}:", "", *(f"- {entry}" for entry in entries), "")


def _cells(line: Line) -> tuple[str, ...]:
    def number(value: float | None, form: str, scale: float = 1.0) -> str:
        return "" if value is None else format(value * scale, form)

    def beside(name: str) -> Sequence[str]:
        taken = line.others.get(name)
        ratio = taken / line.seconds if taken and line.seconds else None
        return number(taken, ".1f", 1e6), number(ratio, ".2f")

    return (
        line.name,
        line.verdict if line.verdict in ("yes", "not known") else f"**{line.verdict}**",
        number(line.error, ".1e"),
        number(line.allowed, ".1e"),
        number(line.seconds, ".1f", 1e6),
        number(line.gflops, ".0f"),
        number(line.gigabytes, ".0f"),
        number(line.share, ".0%"),
        number(line.kernels, ".1f", 1e6),
        *beside("torch"),
        *beside("torch-compile"),
    )


def write(report: Report, folder: Path) -> Path:
    """The report in both forms; the place of the table."""
    card = re.sub(r"\W+", "_", report.card)
    stem = folder / f"{report.day}-{card}"
    lines = [asdict(line) | {"verdict": line.verdict} for line in report.lines]
    stem.with_suffix(".json").write_text(json.dumps(asdict(report) | {"lines": lines}, indent=2))
    stem.with_suffix(".md").write_text(report.markdown())
    return stem.with_suffix(".md")
