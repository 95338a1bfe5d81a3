"""The thread pool: every index once, whatever the threads, sleep, forks and shutdown do."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from mlir_lite.backends.llvm.machine.jit import Library, compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.pool.chunks import CHUNKS, LONGER
from mlir_lite.backends.llvm.pool.pool import ThreadPool, pool_code, shared_pool
from mlir_lite.backends.llvm.pool.text import PIECES

# `mark` raises context[i] for its share and writes the share's end where the share starts, 1000
# further on; `nested` shares out `mark` from within a task, once for every index of its own;
# `pairs` shares out `mark` over a few indices and over many in turn.
TEXT = """
declare void @ml_parallel(ptr, ptr, ptr, i64)

define void @mark(ptr %context, i64 %lo, i64 %hi) nounwind {
entry:
  %far = getelementptr i64, ptr %context, i64 1000
  %start = getelementptr i64, ptr %far, i64 %lo
  store i64 %hi, ptr %start
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %at = getelementptr i64, ptr %context, i64 %i
  %old = atomicrmw add ptr %at, i64 1 monotonic
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}

define void @run(ptr %pool, ptr %context, i64 %extent) nounwind {
  call void @ml_parallel(ptr %pool, ptr @mark, ptr %context, i64 %extent)
  ret void
}

define void @outer(ptr %arguments, i64 %lo, i64 %hi) nounwind {
entry:
  %context.at = getelementptr ptr, ptr %arguments, i64 1
  %pool = load ptr, ptr %arguments
  %context = load ptr, ptr %context.at
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  call void @ml_parallel(ptr %pool, ptr @mark, ptr %context, i64 100)
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}

define void @nested(ptr %pool, ptr %arguments, i64 %extent) nounwind {
  call void @ml_parallel(ptr %pool, ptr @outer, ptr %arguments, i64 %extent)
  ret void
}

define void @pairs(ptr %pool, ptr %context, i64 %times, i64 %few, i64 %many) nounwind {
entry:
  br label %head
head:
  %turn = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp ult i64 %turn, %times
  br i1 %more, label %body, label %done
body:
  call void @ml_parallel(ptr %pool, ptr @mark, ptr %context, i64 %few)
  call void @ml_parallel(ptr %pool, ptr @mark, ptr %context, i64 %many)
  %next = add i64 %turn, 1
  br label %head
done:
  ret void
}
"""

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
POLL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
NEVER = POLL()  # null
TOWARD = ctypes.CFUNCTYPE(
    ctypes.c_int64,
    *(ctypes.c_void_p, TASK, ctypes.c_void_p, ctypes.c_int64, ctypes.c_bool),
    *(POLL, ctypes.c_void_p),
)

LINUX = sys.platform == "linux"
WAYS = [False, True] if LINUX else [False]


class Tasks:
    """The compiled tasks, linked to a pool's functions."""

    def __init__(self, *, futex: bool) -> None:
        [code] = compile_objects([TEXT], Machine.host(), cache=None, workers=1)
        symbols = pool_code(futex=futex).symbols
        self.library = Library([code], exports=("run", "nested", "pairs"), symbols=symbols)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self._run = prototype(self.library.address("run"))
        self._nested = prototype(self.library.address("nested"))
        of_pairs = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3)
        self._pairs = of_pairs(self.library.address("pairs"))

    def shares(self, pool: int | None, extent: int) -> list[tuple[int, int]]:
        """Run over [0, extent), see that each index was met once, and give the shares back."""
        context = (ctypes.c_int64 * 2001)(*[0] * 1000, *[-1] * 1001)
        self._run(pool, context, extent)
        assert list(context[:1000]) == [1] * extent + [0] * (1000 - extent)
        return [(lo, hi) for lo, hi in enumerate(context[1000:]) if hi >= 0]

    def counts_nested(self, pool: int, extent: int) -> list[int]:
        """How often each of 100 indices was met in `extent` inner runs."""
        context = (ctypes.c_int64 * 2001)()
        arguments = (ctypes.c_void_p * 2)(pool, ctypes.addressof(context))
        self._nested(pool, arguments, extent)
        return list(context[:100])

    def counts_of_pairs(self, pool: int, times: int, few: int, many: int) -> list[int]:
        """How often each of `many` indices was met in `times` runs over `few` and over `many`."""
        context = (ctypes.c_int64 * 2001)()
        self._pairs(pool, context, times, few, many)
        return list(context[:many])


@pytest.fixture(params=WAYS, ids=lambda futex: "futex" if futex else "callbacks")
def futex(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def tasks(futex: bool) -> Tasks:
    return Tasks(futex=futex)


@pytest.fixture
def pool(futex: bool) -> Iterator[ThreadPool]:
    pool = ThreadPool(3, futex=futex)
    yield pool
    pool.close()


def chunks(extent: int, threads: int) -> list[tuple[int, int]]:
    """The pieces that work is cut into, whichever thread runs them: of each side first the long
    ones, if there are any of more than one index."""
    if extent <= 1 or threads == 1:
        return [(0, extent)]
    count = min(extent, threads * CHUNKS)
    callers = -(-count // threads)
    pieces: list[tuple[int, int]] = []
    for first, size in ((0, callers), (callers, count - callers)):
        start, stop = first * extent // count, (first + size) * extent // count
        longer = LONGER if count < extent else 1
        lengths = [longer] * (size // 2) + [1] * (size - size // 2)
        before = (sum(lengths[:chunk]) for chunk in range(size + 1))
        ends = [start + edge * (stop - start) // sum(lengths) for edge in before]
        pieces += [(lo, hi) for lo, hi in pairwise(ends) if lo < hi]
    return pieces


@pytest.mark.parametrize("extent", [0, 1, 2, 3, 4, 7, 18, 999])
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_chunks_are_contiguous_and_the_last_ones_short(
    tasks: Tasks, futex: bool, threads: int, extent: int
) -> None:
    pool = ThreadPool(threads, futex=futex)
    for _ in range(3):
        assert tasks.shares(pool.address, extent) == chunks(extent, threads)
    pool.close()


@pytest.mark.parametrize(
    ("backwards", "late", "order"),
    [
        (False, "caller", [*range(8, 16), *range(7, 0, -1)]),
        (False, "worker", [*range(8), *range(15, 8, -1)]),
        (True, "caller", [*range(15, 7, -1), *range(7)]),
        (True, "worker", [*range(7, -1, -1), *range(8, 15)]),
    ],
)
def test_a_thread_goes_one_way_and_leaves_its_last_chunks_to_others(
    futex: bool, backwards: bool, late: str, order: list[int]
) -> None:
    caller = threading.get_ident()
    begun, done = threading.Event(), threading.Event()
    taken: dict[str, list[int]] = {"caller": [], "worker": []}

    def task(context: int | None, lo: int, hi: int) -> None:
        role = "caller" if threading.get_ident() == caller else "worker"
        taken[role].append(lo)
        if role == late:
            begun.set()
            done.wait(10)
            return
        begun.wait(10)
        if len(taken[role]) == len(order):
            done.set()

    parallel = TOWARD(pool_code(futex=futex).symbols["ml_parallel_toward"])
    pool = ThreadPool(2, futex=futex)
    parallel(pool.address, TASK(task), None, 2 * CHUNKS, backwards, NEVER, None)
    pool.close()
    own = {"caller": [(CHUNKS - 1) * backwards], "worker": [CHUNKS + (CHUNKS - 1) * backwards]}
    assert taken == {"caller": order, "worker": order, late: own[late]}


@pytest.mark.parametrize("extent", [1, 3, PIECES, 2 * PIECES + 5])
def test_a_thread_without_others_goes_backwards_in_pieces(extent: int) -> None:
    taken: list[tuple[int, int]] = []
    parallel = TOWARD(pool_code().symbols["ml_parallel_toward"])
    task = TASK(lambda _, lo, hi: taken.append((lo, hi)))
    assert parallel(None, task, None, extent, True, NEVER, None) == 0
    assert len(taken) == min(extent, PIECES)
    assert taken[-1][0] == 0 and taken[0][1] == extent
    assert all(later[1] == earlier[0] < earlier[1] for earlier, later in pairwise(taken))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_begun_once_the_caller_is_told_to_stop(threads: int, backwards: bool) -> None:
    taken: list[tuple[int, int]] = []
    asked: list[int] = []
    told, caller = threading.Event(), threading.get_ident()

    def task(context: int | None, lo: int, hi: int) -> None:
        taken.append((lo, hi))
        if threading.get_ident() != caller:
            told.wait(10)
            time.sleep(0.3)  # until the answer has arrived

    def poll(state: int | None) -> int:
        assert state == 7
        asked.append(len(taken))
        if len(asked) < 2:
            return 0
        told.set()
        return -1

    parallel = TOWARD(pool_code().symbols["ml_parallel_toward"])
    pool = ThreadPool(threads)
    address = pool.address if threads > 1 else None
    assert parallel(address, TASK(task), None, 1000, backwards, POLL(poll), 7) == -1
    assert len(asked) == 2 and 2 <= len(taken) <= 2 + threads - 1
    # What comes next is done whole.
    taken.clear()
    assert parallel(address, TASK(task), None, 5, backwards, POLL(lambda _: 0), None) == 0
    assert sorted(at for lo, hi in taken for at in range(lo, hi)) == list(range(5))
    pool.close()


def test_without_a_pool_the_caller_does_all(tasks: Tasks) -> None:
    assert tasks.shares(None, 10) == [(0, 10)]


def test_sleeping_threads_wake_up(tasks: Tasks, pool: ThreadPool) -> None:
    for _ in range(5):
        time.sleep(0.02)
        assert tasks.shares(pool.address, 9) == chunks(9, 3)


def test_waiting_threads_use_no_cpu(pool: ThreadPool) -> None:
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_a_task_may_share_out_work_itself(tasks: Tasks, pool: ThreadPool) -> None:
    assert tasks.counts_nested(pool.address, 6) == [6] * 100


def test_two_callers_at_once_are_safe(tasks: Tasks, pool: ThreadPool) -> None:
    failures: list[BaseException] = []

    def call() -> None:
        try:
            for extent in range(2, 302):
                shares = tasks.shares(pool.address, extent)
                assert shares in ([(0, extent)], chunks(extent, 3))
        except BaseException as failure:
            failures.append(failure)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


def test_a_closed_pool_leaves_the_work_to_the_caller(tasks: Tasks, pool: ThreadPool) -> None:
    pool.close()
    pool.close()
    assert pool.closed
    assert tasks.shares(pool.address, 10) == [(0, 10)]


def test_pools_leave_no_thread_behind(tasks: Tasks, futex: bool) -> None:
    before = set(threading.enumerate())
    for _ in range(200):
        pool = ThreadPool(3, futex=futex)
        tasks.shares(pool.address, 3)
        pool.close()
    assert set(threading.enumerate()) <= before


def test_a_forgotten_pool_ends(futex: bool) -> None:
    before = set(threading.enumerate())
    pool = ThreadPool(3, futex=futex)
    workers = set(threading.enumerate()) - before
    assert len(workers) == 2
    del pool
    gc.collect()
    for worker in workers:
        worker.join(timeout=5)
    assert not any(worker.is_alive() for worker in workers)


def exit_status_of_fork(body: Callable[[], bool]) -> int:
    """0 if `body` is true in a child, 1 if not, a signal's number if it hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        good = False
        try:
            good = body()
        finally:
            os._exit(0 if good else 1)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [2, 3])
def test_a_late_thread_takes_nothing_of_work_that_is_being_handed_out(
    futex: bool, threads: int
) -> None:
    tasks, pool = Tasks(futex=futex), ThreadPool(threads, futex=futex)
    times, few, many = 100_000, 3, 60

    def in_child() -> bool:
        counts = tasks.counts_of_pairs(pool.address, times, few, many)
        return counts == [2 * times] * few + [times] * (many - few)

    status = exit_status_of_fork(in_child)  # a child, as threads that wait forever are no use here
    pool.close()
    assert status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_has_threads_of_its_own(tasks: Tasks, pool: ThreadPool) -> None:
    expected = chunks(10, 3)
    assert tasks.shares(pool.address, 10) == expected

    def in_child() -> bool:
        time.sleep(0.02)
        return all(tasks.shares(pool.address, 10) == expected for _ in range(3))

    assert exit_status_of_fork(in_child) == 0
    assert tasks.shares(pool.address, 10) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_the_pool_works_gives_a_free_pool(tasks: Tasks, pool: ThreadPool) -> None:
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            tasks.shares(pool.address, 500)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        statuses = [
            exit_status_of_fork(lambda: len(tasks.shares(pool.address, 10)) > 1) for _ in range(5)
        ]
    finally:
        stop.set()
        caller.join()
    assert statuses == [0] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_thread_goes_to_sleep_gives_a_free_pool() -> None:
    tasks, pool = Tasks(futex=False), ThreadPool(3, futex=False)
    with pool_code(futex=False).parking.condition:
        status = exit_status_of_fork(lambda: len(tasks.shares(pool.address, 10)) > 1)
    pool.close()
    assert status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_closed_pool_stays_closed_in_a_child(tasks: Tasks, pool: ThreadPool) -> None:
    pool.close()
    assert exit_status_of_fork(lambda: tasks.shares(pool.address, 10) == [(0, 10)]) == 0


def test_the_interpreter_exits_with_threads_asleep_and_awake(futex: bool) -> None:
    script = (
        "from mlir_lite.backends.llvm.pool.pool import ThreadPool\n"
        "import time\n"
        f"asleep = ThreadPool(3, futex={futex})\n"
        "time.sleep(0.05)\n"
        f"awake = ThreadPool(2, futex={futex})\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_equal_sizes_share_a_pool() -> None:
    first, second, other = shared_pool(2), shared_pool(2), shared_pool(3)
    assert first is not None and other is not None
    assert first is second
    assert first is not other
    first.close()
    assert shared_pool(2) is not first


def test_one_thread_needs_no_pool() -> None:
    assert shared_pool(1) is None


@pytest.mark.parametrize("threads", [0, -1])
def test_a_pool_has_a_thread(threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        shared_pool(threads)
