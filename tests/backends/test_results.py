"""Memory of results: used again once it is free, and never before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite.backends import results
from mlir_lite.backends.arrays import ArraySpec, address
from mlir_lite.backends.results import LARGE, LINGER, Allocator, allocators
from mlir_lite.types import Array, TensorType, f32

ROWS = LARGE // f32.bytes // 256


def large(count: int = 1) -> Allocator:
    """What makes one of so many large results."""
    spec = ArraySpec("result", TensorType((ROWS, 256), f32))
    return allocators([spec] * count)[0]


def places(arrays: list[Array]) -> set[int]:
    return set(map(address, arrays))


def test_memory_of_a_dropped_result_is_used_again() -> None:
    make = large()
    first = make()
    place = address(first)
    del first
    assert address(make()) == place


def test_a_loop_that_keeps_the_last_result_needs_two_blocks() -> None:
    make, seen = large(), set()
    last: Array | None = None
    for _ in range(6):
        last = make()
        seen.add(address(last))
    assert last is not None and len(seen) == 2


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[3:, ::2],
        lambda array: array.T.reshape(-1, order="F")[5:],
        lambda array: array.view(np.int32),
        memoryview,
        lambda array: np.from_dlpack(array),
        lambda array: np.frombuffer(array, np.uint8),
        lambda array: import_module("torch").from_numpy(array)[3:].detach(),
        lambda array: import_module("torch").from_dlpack(array).T,
    ],
    ids=["slice", "reshape", "dtype", "memoryview", "dlpack", "buffer", "torch", "torch dlpack"],
)
def test_a_view_keeps_the_memory(view: Callable[[Array], object]) -> None:
    make = large(2)
    array = make()
    place = address(array)
    kept = view(array)
    del array
    gc.collect()
    assert address(make()) != place
    del kept
    gc.collect()
    assert address(make()) == place


def test_results_alive_share_no_memory() -> None:
    make = large()
    with ThreadPoolExecutor(4) as workers:
        arrays = list(workers.map(lambda _: make(), range(16)))
    starts = sorted(places(arrays))
    assert all(b - a >= LARGE for a, b in pairwise(starts)) and len(starts) == 16


def test_threads_that_drop_results_are_not_lent_what_others_hold() -> None:
    make = large(3)

    def work(number: int) -> bool:
        whole = True
        for turn in range(200):
            arrays = [make() for _ in range(1 + (number + turn) % 4)]
            for array in arrays:
                array[:] = number
            whole &= all((array == number).all() for array in arrays)
        return whole

    with ThreadPoolExecutor(4) as workers:
        assert all(workers.map(work, range(8)))


def test_results_that_are_kept_keep_their_values() -> None:
    """Calls of other values follow, and half of the results go in between."""

    @ml.function(f32[ROWS, 256])
    def both(x: ml.Value) -> tuple[ml.Value, ml.Value]:
        return x + 1.0, x * 2.0

    run, kept = ml.compile(both, threads=1), []
    for value in range(12):
        first, second = run(np.full((ROWS, 256), value, np.float32))
        kept.append((value, first[1:], second if value % 2 else second.T))
        del first, second
        if value % 3 == 0:
            kept.pop(0)
    assert len(kept) == 8
    for value, first, second in kept:
        assert (first == value + 1).all() and (second == 2 * value).all()


def test_as_much_stays_free_as_a_call_makes() -> None:
    make = large(3)
    seen = places([make() for _ in range(8)])
    assert len(seen) == 8
    again = places([make() for _ in range(3)])
    assert again < seen


def test_what_a_loop_holds_at_a_time_stays_free_once_it_was_missed() -> None:
    make = large()
    for _ in range(2):  # the second time finds that more would have been of use
        places([make() for _ in range(8)])
    seen = places([make() for _ in range(8)])
    assert places([make() for _ in range(8)]) == seen


def test_memory_that_is_not_used_for_a_while_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next result that is dropped, of whichever executable."""
    now = 1e9
    monkeypatch.setattr(results, "monotonic", lambda: now)
    make, other = large(4), large()
    pool = make.func.__self__  # type: ignore[attr-defined]  # what it is a method of
    other()
    arrays = [make() for _ in range(4)]
    del arrays
    assert len(pool._free) == 4
    now += 0.9 * LINGER
    make()  # one of them is used
    other()
    assert len(pool._free) == 4
    now += 0.2 * LINGER
    other()
    assert len(pool._free) == 1
    now += 1.1 * LINGER
    other()
    assert len(pool._free) == 0


def test_free_memory_goes_with_the_executable() -> None:
    make = large(2)
    kept, dropped = make(), make()
    owner = dropped.base.block[1]  # type: ignore[union-attr]  # a lease
    gone = weakref.ref(owner)
    del dropped, owner
    assert gone() is not None
    del make
    assert gone() is None
    kept[:] = 1  # is still there, and goes by itself
    gone = weakref.ref(kept.base.block[1])  # type: ignore[union-attr]
    del kept
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_has_what_its_parent_held_and_nothing_free() -> None:
    make = large(2)
    kept, dropped = make(), make()
    kept[:] = 1
    del dropped
    pool = make.func.__self__  # type: ignore[attr-defined]  # what it is a method of
    child = os.fork()
    if child == 0:
        fresh = make()
        fresh[:] = 2
        os._exit(0 if (kept == 1).all() and not pool._free else 1)
    assert os.waitpid(child, 0)[1] == 0 and len(pool._free) == 1


CALLS = """
from collections import deque
from resource import RUSAGE_THREAD, getrusage
import numpy as np
import mlir_lite as ml
from mlir_lite import f32

@ml.function(f32[1 << 17])
def many(x):
    return tuple(x * float(factor) for factor in range(1, 21))

run, x = ml.compile(many, threads=1), np.ones(1 << 17, np.float32)
for kept in range(3):  # results of so many calls
    last = deque(maxlen=kept)
    faults = []
    for _ in range(20):
        faults.append(getrusage(RUSAGE_THREAD).ru_minflt)
        last.append(run(x))
    print(faults[-1] - faults[4])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_results_meet_no_fresh_pages() -> None:
    """In a process of its own: how the allocator deals with pages depends on what was freed."""
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, check=True)
    assert max(map(int, done.stdout.split())) < 200  # 2560 a call, where all are fresh


def test_arrays_are_plain_and_writeable() -> None:
    array = large()()
    assert type(array) is np.ndarray
    assert array.flags.c_contiguous and array.flags.writeable and array.shape == (ROWS, 256)


def test_small_results_own_their_memory() -> None:
    [make] = allocators([ArraySpec("result", TensorType((3, 5), f32))])
    array = make()
    assert array.flags.owndata and array.shape == (3, 5)
