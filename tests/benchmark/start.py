"""From a model's file to its first result, in a fresh process: with nothing kept from before, and
again with what the first process kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from mlir_lite.tile.program import Role

from .cases import Case
from .engines import ENGINES, OURS, Compiled
from .measure import processors

_STATUS = Path("/proc/self/status")
Result = TypeVar("Result")


@dataclass(frozen=True)
class First:
    """Seconds until the first result, and its error against float64; and by how many bytes the
    process has grown meanwhile at most, where the system counts that."""

    seconds: float
    error: float
    bytes: int | None


@dataclass(frozen=True)
class Start:
    """A model's start on an engine; or why there is none. `planned` are the bytes of packed weights
    and arena, which this compiler alone tells."""

    name: str
    threads: int
    engine: str
    cold: First | None = None
    warm: First | None = None
    planned: int | None = None
    failure: str = ""


def measure_starts(
    case: Case, engines: Sequence[str], threads: int, *, passes: int
) -> Iterator[Start]:
    """One for each engine that takes the case. Of several passes, each in a folder of its own, the
    fastest counts."""
    for name in engines:
        if not ENGINES[name].takes(case):
            continue
        try:
            yield _start(name, case, threads, passes)
        except Exception as error:  # an engine that cannot start does not end the others
            failure = f"{type(error).__name__}: {error}"
            yield Start(case.name, threads, name, failure=failure)


def _start(name: str, case: Case, threads: int, passes: int) -> Start:
    found: list[tuple[First, First]] = []
    planned = None
    for _ in range(passes):
        with TemporaryDirectory() as folder:
            fresh = replace(case, kept=folder)
            cold = _apart(_first, name, fresh, threads)
            found.append((cold, _apart(_first, name, fresh, threads)))
            if name == OURS and planned is None:
                planned = _apart(_planned_bytes, name, fresh, threads)
    cold, warm = (
        min(firsts, key=lambda first: first.seconds) for firsts in zip(*found, strict=True)
    )
    return Start(case.name, threads, name, cold, warm, planned)


def _apart(
    function: Callable[[str, Case, int], Result], name: str, case: Case, threads: int
) -> Result:
    """What a function gives in a process of its own, on as many processors as threads."""
    with ProcessPoolExecutor(1, get_context("spawn"), _stay_on, (processors(threads),)) as pool:
        return pool.submit(function, name, case, threads).result()


def _stay_on(cpus: Sequence[int]) -> None:
    sys.dont_write_bytecode = False  # what is installed has it, and the first pass makes it
    if cpus:
        os.sched_setaffinity(0, cpus)


def _first(name: str, case: Case, threads: int) -> First:
    engine = ENGINES[name]
    for module in engine.imports:
        import_module(module)
    before = _memory("VmRSS")
    begin = time.perf_counter()
    call = engine.call(case, threads)
    if not engine.is_of_files:
        begin = time.perf_counter()  # the model has been made, and nothing compiled
    results = call()
    seconds = time.perf_counter() - begin
    peak = _memory("VmHWM")
    grown = None if before is None or peak is None else peak - before
    return First(seconds, case.error(results), grown)


def _memory(field: str) -> int | None:
    """Bytes of this process by Linux's name for them."""
    if not _STATUS.exists():
        return None
    [kilobytes] = re.findall(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return 1024 * int(kilobytes)


def _planned_bytes(name: str, case: Case, threads: int) -> int:
    run = Compiled().executable(case, threads)
    weights = (slot.type.nbytes for slot in run.program.slots if slot.role is Role.CONSTANT)
    return sum(weights) + run.memory.arena_bytes


def import_seconds(name: str) -> float:
    """What an engine's imports take, in a fresh process."""
    modules = ", ".join(ENGINES[name].imports)
    code = (
        f"import time; begin = time.perf_counter(); import {modules}; "
        "print(time.perf_counter() - begin)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)
