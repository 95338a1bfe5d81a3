"""What is timed: a call in this process, or another runtime in a process of its own.

A runtime's idle threads spin for a while, and disturb whoever runs next on their processors. So
the other process stands still while it is not its turn.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..errors import RunError, UnsupportedError, check, missing_extra
from ..types import Array

OURS = "mlir-lite"  # among the names of runtimes
BLOCK_SECONDS = 0.02  # long against the clock's resolution, short against the machine's moods
PAUSE_SECONDS = 0.005  # in which the threads of the runtime before stop spinning
_END_SECONDS = 5.0  # that a process has for its end

# What a call reads by address, it must keep: a runtime bound to an array may not hold it.
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
    """A call in a process of its own, which stands still between its turns.

    `make` is called there and gives the call; it must be of a kind that can be sent (a function
    of a module, `functools.partial` of one). What it raises is raised here. `cpus` are the
    processors that the process may use, by default those of this one.
    """

    def __init__(self, name: str, make: Callable[[], Call], cpus: Sequence[int] = ()) -> None:
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, make, tuple(cpus)), daemon=True
        )
        self._process.start()
        theirs.close()
        self._receive()
        self._signal("SIGSTOP")

    def results(self) -> Sequence[Array]:
        found: Sequence[Array] = self._ask(0)
        return found

    def seconds(self, count: int) -> float:
        return float(self._ask(count))

    def close(self) -> None:
        """End the process: by itself, so that its runtime can put things in order."""
        self._signal("SIGCONT")
        with suppress(OSError):  # it has ended
            self._ours.send(None)
        self._process.join(_END_SECONDS)
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
            ended = f"the process that runs {self._name} ended before it answered"
            raise RunError(ended) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, getattr(signal, name))


def _serve(connection: Connection, make: Callable[[], Call], cpus: tuple[int, ...]) -> None:
    """Make the call, then answer each count with the seconds of a call, and 0 with results, until
    there is None; an error is the last answer."""
    try:
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
        here = Here(make())
        connection.send(None)
        while (count := connection.recv()) is not None:
            connection.send(here.seconds(count) if count else here.results())
    except Exception as error:
        connection.send(error)


def in_turn(runners: Mapping[str, Runner], repeat: int) -> dict[str, list[float]]:
    """Seconds a call of each, a sample a round, measured in turn: A B A B …"""
    counts: dict[str, int] = {}
    for name, runner in runners.items():
        once = runner.seconds(1)
        counts[name] = max(1, math.ceil(BLOCK_SECONDS / max(once, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(repeat):
        for name, runner in runners.items():
            time.sleep(PAUSE_SECONDS)
            times[name].append(runner.seconds(counts[name]))
    return times


def relative_error(have: Sequence[Array], want: Sequence[Array]) -> float:
    """The largest difference over all results, relative to each result's largest element."""
    worst = 0.0
    for ours, theirs in zip(have, want, strict=True):
        if ours.size:
            wide = np.asarray(theirs).astype(np.float64)
            difference = float(np.max(np.abs(ours.astype(np.float64) - wide)))
            worst = max(worst, difference / (float(np.max(np.abs(wide))) or 1.0))
    return worst


class FileRuntime(Protocol):
    """Makes the call of a model file, in a precision that it has."""

    def __call__(
        self,
        file: str,
        threads: int,
        feeds: Mapping[str, Array],
        outputs: Sequence[str],
        *,
        precision: str = "f32",
    ) -> Call: ...


def onnxruntime_call(
    file: str,
    threads: int,
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    precision: str = "f32",
) -> Call:
    """A model file run by onnxruntime, inputs and outputs bound once.

    `MissingExtraError` where it is not installed, `UnsupportedError` but for f32.
    """
    check(precision == "f32", f"onnxruntime has no {precision} on a CPU", UnsupportedError)
    session = onnxruntime_session(file, threads)
    import onnxruntime

    binding = session.io_binding()
    bound = _bound(feeds, binding.bind_cpu_input)
    # Its own results would be new memory in each call, which for large ones costs the most.
    results = [np.ascontiguousarray(array) for array in session.run(list(outputs), bound)]
    for name, array in zip(outputs, results, strict=True):
        binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))

    def call(_kept: Mapping[str, Array] = bound) -> Sequence[Array]:
        session.run_with_iobinding(binding)
        return results

    return call


def onnxruntime_session(file: str, threads: int) -> Any:
    """A model file as onnxruntime runs it on a CPU. `MissingExtraError` where that is not
    installed."""
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("onnxruntime", "bench") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def openvino_call(
    file: str,
    threads: int,
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    precision: str = "f32",
) -> Call:
    """A model file run by OpenVINO, inputs bound once; results are in its own memory.

    `MissingExtraError` where it is not installed.
    """
    request = openvino_model(file, threads, precision).create_infer_request()
    import openvino

    bound = _bound(
        feeds,
        lambda name, array: request.set_tensor(name, openvino.Tensor(array, shared_memory=True)),
    )

    def call(_kept: Mapping[str, Array] = bound) -> Sequence[Array]:
        request.infer()
        return [request.get_tensor(name).data for name in outputs]

    return call


def openvino_model(file: str, threads: int, precision: str, kept: str = "") -> Any:
    """A model file as OpenVINO compiles it for a CPU; what that gave is kept in the folder `kept`,
    if there is one. `MissingExtraError` where OpenVINO is not installed."""
    try:
        import openvino
    except ImportError:
        raise missing_extra("openvino", "bench") from None
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,
        "CACHE_DIR": kept,
    }
    return openvino.Core().compile_model(file, "CPU", settings)


def _bound(
    feeds: Mapping[str, Array], bind: Callable[[str, Array], object]
) -> Mapping[str, Array]:
    """The inputs that a runtime has been told the places of, to be kept as long as it."""
    # `np.ascontiguousarray` would make a number an array of one element.
    bound = {name: np.asarray(array, order="C") for name, array in feeds.items()}
    for name, array in bound.items():
        bind(name, array)
    return bound


# Runtimes of .onnx files.
FILE_RUNTIMES: Mapping[str, FileRuntime] = MappingProxyType(
    {"onnxruntime": onnxruntime_call, "openvino": openvino_call}
)
