"""What a person at a terminal sees of a training: a bar with loss and rate, or a line per epoch."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_LOG = logging.getLogger("mlir_lite.train")


class Progress(Protocol):
    """Is told of each step and each epoch."""

    def step(self, examples: int, values: Mapping[str, float]) -> None: ...

    def epoch(self, number: int, values: Mapping[str, float]) -> None: ...


@contextmanager
def progress(epochs: int, steps: int, done: int, *, wanted: bool | None) -> Iterator[Progress]:
    """The progress of so many epochs of so many steps, of which some are done.

    By default it is shown on a terminal: as a bar if `rich` is installed (the extra `report`).
    """
    shown = sys.stderr.isatty() if wanted is None else wanted
    if not shown:
        yield _Silent(epochs)
    elif find_spec("rich") is None:
        yield _Lines(epochs)
    else:
        with _bar() as bar:
            yield _Rich(epochs, steps, done, bar)


class _Silent:
    """Only the log hears of epochs."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def step(self, examples: int, values: Mapping[str, float]) -> None:
        pass

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        _LOG.info("%s", self._line(number, values))

    def _line(self, number: int, values: Mapping[str, float]) -> str:
        return f"epoch {number}/{self._epochs}: {_text(values)}"


class _Lines(_Silent):
    """A line on stderr for each epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        self._examples, self._start = 0, time.perf_counter()

    def step(self, examples: int, values: Mapping[str, float]) -> None:
        self._examples += examples

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        rate = self._examples / (time.perf_counter() - self._start)
        print(f"{self._line(number, values)}, {rate:.0f} examples/s", file=sys.stderr)
        self._examples, self._start = 0, time.perf_counter()


class _Rich(_Silent):
    """A bar for the whole training, a line above it for each epoch."""

    def __init__(self, epochs: int, steps: int, done: int, bar: Bar) -> None:
        super().__init__(epochs)
        self._bar = bar
        self._examples, self._start = 0, time.perf_counter()
        self._task = bar.add_task("", total=epochs * steps, completed=done, text="")

    def step(self, examples: int, values: Mapping[str, float]) -> None:
        self._examples += examples
        rate = self._examples / (time.perf_counter() - self._start)
        text = f"{_text(values)}, {rate:.0f} examples/s"
        self._bar.update(self._task, advance=1, text=text)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self._bar.console.print(self._line(number, values), highlight=False)


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    return Bar(*columns, console=Console(stderr=True))


def _text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
