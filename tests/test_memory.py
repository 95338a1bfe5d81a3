"""Memory that lies side by side: aligned, apart, and in as few huge pages as hold it."""

from __future__ import annotations

import mmap
import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import f32
from mlir_lite.backends.llvm.backend import materialise
from mlir_lite.ir import ConstantData
from mlir_lite.memory import ALIGNMENT, HUGE_PAGE, aligned_bytes, side_by_side
from mlir_lite.types import Array, TensorType

F4: np.dtype[Any] = np.dtype(np.float32)
U1: np.dtype[Any] = np.dtype(np.uint8)


def ends(array: Array) -> tuple[int, int]:
    """The addresses where an array begins and ends."""
    return array.ctypes.data, array.ctypes.data + array.nbytes


def test_arrays_side_by_side_are_aligned_and_do_not_overlap() -> None:
    asked: list[tuple[tuple[int, ...], np.dtype[Any]]]
    asked = [((3, 5), F4), ((0,), F4), ((1,), U1), ((), F4), ((1 << 20,), F4), ((7,), U1)]
    arrays = side_by_side(asked)
    assert [(array.shape, array.dtype) for array in arrays] == asked
    assert all(array.ctypes.data % ALIGNMENT == 0 for array in arrays)
    places = sorted(ends(array) for array in arrays if array.size)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(places))
    assert places[-1][1] - places[0][0] < sum(array.nbytes + ALIGNMENT for array in arrays)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("huge", [True, False], ids=["huge pages", "no huge pages"])
def test_the_child_of_a_fork_has_memory_of_its_own(
    monkeypatch: pytest.MonkeyPatch, huge: bool
) -> None:
    if not huge:
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    block = aligned_bytes(2 * HUGE_PAGE)
    block[:] = 1
    child = os.fork()
    if child == 0:
        block[:] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert (block == 1).all()


def test_nothing_asked_for_is_nothing() -> None:
    assert side_by_side([]) == []


def test_small_constants_lie_in_one_stretch() -> None:
    random = np.random.default_rng(0)
    rows = (300, 7, 1000, 1)
    data = {f"w{count}": random.standard_normal((count, 500), np.float32) for count in rows}
    constants = {name: ConstantData.of(array) for name, array in data.items()}
    slots = [(name, TensorType(array.shape, f32)) for name, array in data.items()]
    made = materialise(constants, slots)
    for array, given in zip(made, data.values(), strict=True):
        np.testing.assert_array_equal(array, given)
    first, last = min(map(ends, made)), max(map(ends, made))
    assert last[1] - first[0] < sum(array.nbytes + ALIGNMENT for array in made)
    assert first[0] % HUGE_PAGE == 0


def test_equal_constants_are_one_array() -> None:
    constant = ConstantData.of(np.ones((4, 5000), np.float32))
    slots = [(name, constant.type) for name in ("a", "b")]
    first, second = materialise({"a": constant, "b": constant}, slots)
    assert first is second


def test_an_executable_outlives_what_its_constants_were_given_as() -> None:
    weight = np.full((64, 64), 2.0, np.float32)
    run = ml.compile(ml.function(f32[4, 64], f32[64, 64])(lambda x, w: x @ w).bind({"w": weight}))
    del weight
    np.testing.assert_array_equal(run(np.ones((4, 64), np.float32)), np.full((4, 64), 128.0))
