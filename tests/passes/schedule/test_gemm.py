"""Products in register tiles: how what their epilogues read is asked for."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite import f32
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule import schedule
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Call, Kernel, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import base, extent_of


def added_to(depth: int) -> Kernel:
    """A product, in tiles of many vectors, that is added to as many elements."""
    fn = ml.function(f32[12, depth], f32[depth, 64], f32[12, 64])(lambda x, w, c: x @ w + c)
    return schedule(region_kernel(fn, "kernel"), Target("cpu:test"))


def sums(kernel: Kernel, axis: str) -> list[Loop]:
    loops = (stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop))
    return [loop for loop in loops if base(loop.axis) == axis]


def test_each_element_is_asked_for_once() -> None:
    kernel = added_to(512)
    inner = sums(kernel, "k.i")
    assert inner and all(extent_of(loop) >= 16 for loop in inner)
    assert not any(isinstance(stmt, Call) for loop in inner for stmt in walk(loop.body))
    assert any(isinstance(stmt, Call) for loop in sums(kernel, "k") for stmt in loop.body)


@pytest.mark.parametrize("depth", [144, 768])
def test_sums_that_are_short_or_in_segments_are_not_cut_for_that(depth: int) -> None:
    kernel = added_to(depth)
    assert not sums(kernel, "k.i")
    assert any(isinstance(stmt, Call) for stmt in walk(kernel.body))
