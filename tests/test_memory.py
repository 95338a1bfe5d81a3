"""Memory that lies side by side: aligned, apart, and in as few huge pages as hold it; and copies of
what lies in files, of which no more is held than what is being copied."""

from __future__ import annotations

import mmap
import os
import re
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import f32
from mlir_lite.backends.llvm.executable import CpuExecutable
from mlir_lite.backends.llvm.weights import Weights, materialise
from mlir_lite.ir import ConstantData, parameter
from mlir_lite.memory import ALIGNMENT, HUGE_PAGE, aligned_bytes, copy_by_pieces, side_by_side
from mlir_lite.ops.algorithms.panels import PackColumns
from mlir_lite.ops.algorithms.winograd import WinogradFilter
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


def held(run: ml.Executable, sizes: Mapping[str, int]) -> set[int]:
    """The addresses of the large constants of the executable for these sizes."""
    made = run.for_sizes(sizes)
    assert isinstance(made, CpuExecutable)
    return {array.ctypes.data for array in made._code.constants if array.nbytes > 4096}


def test_executables_of_several_sizes_share_what_they_pack_alike() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((512, 512), np.float32)

    @ml.function(f32["batch", 512], f32[512, 512])
    def layers(x: ml.Value, w: ml.Value) -> ml.Value:
        return ml.relu(x @ w) @ w.T

    run = ml.compile(layers.bind({"w": weight}))
    first, second = held(run, {"batch": 64}), held(run, {"batch": 65})
    assert first == second and len(first) == 2  # the matrix and its transpose are not the same
    x = random.standard_normal((65, 512), np.float32)
    wanted = np.maximum(x @ weight, 0) @ weight.T
    np.testing.assert_allclose(run(x), wanted, rtol=1e-4, atol=1e-2)
    other = ml.compile(layers.bind({"w": 2 * weight}))
    assert held(other, {"batch": 64}).isdisjoint(first)
    np.testing.assert_allclose(other(x), 4 * wanted, rtol=1e-4, atol=4e-2)


def test_weights_go_with_the_last_executable_that_reads_them() -> None:
    data = ConstantData.of(np.ones((64, 8192), np.float32))
    slots = [("w", data.type)]
    weights = Weights()
    (first,) = weights.materialised({"w": data}, slots)
    (again,) = weights.materialised({"w": data}, slots)
    assert again is first
    gone = weakref.ref(first)
    del first, again
    assert gone() is None


def test_an_executable_outlives_what_its_constants_were_given_as() -> None:
    weight = np.full((64, 64), 2.0, np.float32)
    run = ml.compile(ml.function(f32[4, 64], f32[64, 64])(lambda x, w: x @ w).bind({"w": weight}))
    del weight
    np.testing.assert_array_equal(run(np.ones((4, 64), np.float32)), np.full((4, 64), 128.0))


VIEWS: dict[str, Callable[[Array], Array]] = {
    "as it lies": lambda x: x,
    "transposed": lambda x: x.T,
    "backwards": lambda x: x[::-1, ::-1],
    "some of it": lambda x: x[3:-5, 7::3],
    "of one row": lambda x: x[:1],
    "repeated": lambda x: np.broadcast_to(x[0], x.shape),
    "a number": lambda x: x[2, 3],
    "nothing": lambda x: x[:0],
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_copy_by_pieces_is_a_copy(view: str, tmp_path: Path) -> None:
    """Of several pieces, of a file and of memory, which must stay as it is."""
    given = np.arange(3 << 20, dtype=np.int32).reshape(3 << 10, -1)
    given.tofile(tmp_path / "x")
    for source in (given.copy(), np.memmap(tmp_path / "x", np.int32, "r", 0, given.shape)):
        seen = VIEWS[view](source)
        copy = np.zeros_like(seen)
        copy_by_pieces(seen, copy)
        np.testing.assert_array_equal(copy, VIEWS[view](given))
        np.testing.assert_array_equal(source, given)


def test_what_is_written_to_pages_of_a_mapped_file_is_not_forgotten(tmp_path: Path) -> None:
    np.zeros(8 << 20, np.uint8).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.uint8, "c")  # what is written stays in this process
    mapped[:] = 7
    copy_by_pieces(mapped, np.empty_like(mapped))
    assert (mapped == 7).all()


def held_of(path: Path) -> int:
    """Bytes of a file that this process has in its memory."""
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(rf" {re.escape(str(path))}\nSize:.*?\nRss: +(\d+) kB", text, re.DOTALL)
    return sum(map(int, found)) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process's memory")
@pytest.mark.parametrize("turned", [False, True], ids=["as it lies", "transposed"])
@pytest.mark.parametrize("columns", [2048, 2000], ids=["whole panels", "a part of a panel"])
def test_of_a_matrix_in_a_file_a_piece_is_held_while_it_is_packed(
    turned: bool, columns: int, tmp_path: Path
) -> None:
    path, shape = tmp_path / "w", (columns, 2304) if turned else (2304, columns)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    values.tofile(path)
    file = np.memmap(path, np.float32, "r", 0, shape)
    matrix = file.T if turned else file
    packed = PackColumns(parameter("w", TensorType(matrix.shape, f32)), 64).reference(matrix)
    assert held_of(path) < values.nbytes // 4
    wide = packed.transpose(1, 0, 2).reshape(2304, -1)[:, :columns]
    np.testing.assert_array_equal(wide, values.T if turned else values)
    matrix.sum()
    assert held_of(path) >= values.nbytes  # what is read otherwise stays


def test_only_some_filters_are_held_in_f64_while_they_are_transformed() -> None:
    filters = np.ones((128, 128, 3, 3), np.float32)
    op = WinogradFilter(parameter("w", TensorType(filters.shape, f32)), 4)
    op.reference(filters)
    tracemalloc.start()
    points = op.reference(filters)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert points.nbytes < peak < 1.25 * (points.nbytes + filters.nbytes)
