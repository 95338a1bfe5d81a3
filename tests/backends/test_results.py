"""Memory of results: used again once it is free, and never before."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from mlir_lite.backends.arrays import ArraySpec, address
from mlir_lite.backends.results import LARGE, Allocator, allocator
from mlir_lite.types import Array, TensorType, f32

ROWS = LARGE // f32.bytes // 256


def large() -> Allocator:
    return allocator(ArraySpec("result", TensorType((ROWS, 256), f32)))


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
    ],
    ids=["slice", "reshape", "dtype", "memoryview", "dlpack", "buffer"],
)
def test_a_view_keeps_the_memory(view: Callable[[Array], object]) -> None:
    make = large()
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
    places = sorted(map(address, arrays))
    assert all(b - a >= LARGE for a, b in pairwise(places))


def test_arrays_are_plain_and_writeable() -> None:
    array = large()()
    assert type(array) is np.ndarray
    assert array.flags.c_contiguous and array.flags.writeable and array.shape == (ROWS, 256)


def test_small_results_own_their_memory() -> None:
    array = allocator(ArraySpec("result", TensorType((3, 5), f32)))()
    assert array.flags.owndata and array.shape == (3, 5)
