"""What `bench` times: a call in this process, or onnxruntime in a process of its own.

A runtime's idle threads spin for a while, and disturb whoever runs next on their processors. So
the other process stands still while it is not its turn.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeAlias

from ..errors import RunError, missing_extra
from ..types import Array

Call: TypeAlias = Callable[[], Sequence[Array]]


class Runner(Protocol):
    """Something whose calls can be timed."""

    def results(self) -> Sequence[Array]:
        """The results of one call."""

    def seconds(self, count: int) -> float:
        """Seconds a call, over `count` calls after one that does not count."""


@dataclass(frozen=True)
class Here:
    """A call in this process."""

    call: Call

    def results(self) -> Sequence[Array]:
        return self.call()

    def seconds(self, count: int) -> float:
        self.call()  # caches and threads are its own again
        start = time.perf_counter()
        for _ in range(count):
            self.call()
        return (time.perf_counter() - start) / count


class Apart:
    """onnxruntime in a process of its own, which stands still between its turns."""

    def __init__(
        self, file: str, threads: int, feeds: Mapping[str, Array], outputs: Sequence[str]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, file, threads, dict(feeds), list(outputs)), daemon=True
        )
        self._process.start()
        theirs.close()
        self._receive()

    def results(self) -> Sequence[Array]:
        found: Sequence[Array] = self._ask(0)
        return found

    def seconds(self, count: int) -> float:
        return float(self._ask(count))

    def close(self) -> None:
        """End the process."""
        self._signal("SIGCONT")
        self._process.terminate()
        self._process.join()

    def _ask(self, count: int) -> Any:  # seconds, or arrays for a count of 0
        self._signal("SIGCONT")
        self._ours.send(count)
        answer = self._receive()
        self._signal("SIGSTOP")
        return answer

    def _receive(self) -> Any:  # what the process answers
        try:
            answer = self._ours.recv()
        except EOFError:
            raise RunError("the process that runs onnxruntime ended before it answered") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self._process.pid is not None:
            os.kill(self._process.pid, getattr(signal, name))


def _serve(
    connection: Connection, file: str, threads: int, feeds: dict[str, Array], outputs: list[str]
) -> None:
    """Make a session, then answer each count with the seconds of a call, and 0 with results."""
    try:
        session = _session(file, threads)
    except Exception as error:
        connection.send(error)
        return
    here = Here(lambda: session.run(outputs, feeds))
    connection.send(None)
    while True:
        count = connection.recv()
        connection.send(here.seconds(count) if count else here.results())


def _session(file: str, threads: int) -> Any:  # the package has no types
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("onnxruntime", "bench") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
