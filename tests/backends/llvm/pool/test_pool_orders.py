"""The thread pool's own text, its threads run in every order that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from mlir_lite.backends.llvm.machine.machine import Machine as Processor
from mlir_lite.backends.llvm.pool.header import PoolHeader
from mlir_lite.backends.llvm.pool.text import pool_text

from .interleave import explore
from .text_machine import Beside, Fault, Machine, Words

_POOL = 4096
_SLEEP = 1 << 20  # and the thread's number: what the system does with it
_ASLEEP, _WOKEN = 1, 2
_RUNS = 1 << 24  # and 16 times the context and the index: how often the task was given it

# Two works, the second longer, and a caller that may find the pool busy.
CALLERS = """
define void @caller(ptr %pool) {
  call void @ml_parallel(ptr %pool, ptr @task, ptr 1, i64 2)
  call void @done(i64 1, i64 2)
  call void @ml_parallel(ptr %pool, ptr @task, ptr 2, i64 3)
  call void @done(i64 2, i64 3)
  call void @ml_stop(ptr %pool)
  ret void
}

define void @other(ptr %pool) {
  call void @ml_parallel(ptr %pool, ptr @task, ptr 3, i64 2)
  call void @done(i64 3, i64 2)
  ret void
}
"""


def task(words: Words, _: int, given: Sequence[int]) -> bool:
    context, low, high = given
    for index in range(low, high):
        place = _RUNS + 16 * context + index
        words[place] = words.get(place, 0) + 1
        if words[place] > 1:
            raise Fault(f"index {index} of work {context} is run twice")
    return True


def done(words: Words, _: int, given: Sequence[int]) -> bool:
    work, extent = given
    for index in range(extent):
        if _RUNS + 16 * work + index not in words:
            raise Fault(f"work {work} ends before its index {index} is run")
    return True


def park(words: Words, number: int, given: Sequence[int]) -> bool:
    """As a futex on the first word: asleep from when it is as expected, until woken."""
    place = _SLEEP + number
    sleep = words.pop(place, 0)
    if sleep == _WOKEN or (not sleep and words.get(given[0], 0) != given[1]):
        return True
    words[place] = _ASLEEP
    return False


def wake(words: Words, *_: object) -> bool:
    for place in words:
        if _SLEEP <= place < _RUNS:
            words[place] = _WOKEN
    return True


def go_on(*_: object) -> bool:
    return True


BESIDE: Mapping[str, Beside] = {
    "task": task, "done": done, "ml_park": park, "ml_wake": wake, "ml_yield": go_on,
}  # fmt: skip


TEXT = pool_text(Processor.host(), futex=False)


def states(workers: int, callers: Sequence[str], text: str = TEXT) -> int:
    """How many states the pool can be in; two works after each other have thousands."""
    machine = Machine(text + CALLERS, BESIDE)
    threads = [machine.start(name, _POOL) for name in callers]
    threads += [machine.start("ml_worker", _POOL, 0) for _ in range(workers)]
    fields = {"threads": 1 + workers, "spins": 1}
    places = {name: _POOL + getattr(PoolHeader, name).offset for name in fields}
    return explore(machine, threads, tuple((places[name], fields[name]) for name in fields))


def test_no_order_of_threads_runs_an_index_twice_or_never_ends() -> None:
    assert states(1, ["caller"]) > 5000


@pytest.mark.slow
@pytest.mark.parametrize("workers, callers", [(1, ["caller", "other"]), (2, ["caller"])])
def test_no_order_of_more_threads_does(workers: int, callers: Sequence[str]) -> None:
    assert states(workers, callers) > 100_000


@pytest.mark.parametrize(
    "right, wrong, what",
    [
        # What is left of a work is told from the fields, which may be those of the next.
        ("icmp ult i64 %front, %past", "icmp ult i64 %front, %size", "twice"),
        ("and i1 %current, %left", "or i1 %left, %left", "a division by zero"),
        ("icmp eq i32 %sleepers, 0", "icmp ule i32 %sleepers, 1", "never end"),
        ("call void @ml_wake(ptr %pool)", "call void @ml_yield()", "never end"),
        ("icmp eq i64 %now, %chunks", "icmp eq i64 %chunks, %chunks", "ends before"),
    ],
)
def test_a_fault_is_found(right: str, wrong: str, what: str) -> None:
    assert right in TEXT
    with pytest.raises(Fault, match=what):
        states(1, ["caller"], TEXT.replace(right, wrong))
