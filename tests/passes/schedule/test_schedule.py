"""Recipes: whatever the sizes and the target, a scheduled kernel does what the naive one does."""

from __future__ import annotations

from itertools import product

import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.passes.decompose import decompose
from mlir_lite.tile.nodes import Kind, Loop
from mlir_lite.tile.tree import extent_of

from .scheduled import LANES, around, check, kinds


@LANES
def test_elementwise_of_every_length(lanes: int) -> None:
    for n in around(lanes):
        check(ml.function(f32[n], f32[n])(lambda x, y: ml.exp(x) * y), lanes)
        check(ml.function(f32[3, n], f32[n])(lambda x, b: ml.relu(x + b)), lanes)
        check(ml.function(f32[3, n])(lambda x: x.T + 1), lanes)


@LANES
def test_blocks_of_rows(lanes: int) -> None:
    for shape in ((1, 12, 9), (1, 2, 6, 4 * lanes + 1), (8, 1, 20)):
        check(decompose(ml.function(f32[shape])(lambda x: ml.softmax(x, -1))), lanes)


@LANES
@pytest.mark.parametrize("channels", [8, 9])
def test_rows_narrower_than_a_vector_are_written_in_long_runs(lanes: int, channels: int) -> None:
    """All of a tile's rows before those of the next one, which there are more of than lanes."""
    rows = channels * lanes + channels - 8
    kernel = check(ml.function(f32[3, 5, rows])(lambda x: ml.transpose(x, (2, 1, 0))), lanes)
    outer = kernel.body[0]
    assert isinstance(outer, Loop) and extent_of(outer) == channels


@LANES
def test_transposes_of_every_edge(lanes: int) -> None:
    """Alone, beside an operand that lies along the result, and with a batch around."""
    for m, n in product(around(lanes), repeat=2):
        check(ml.function(f32[m, n])(lambda x: x.T * 2), lanes)
        check(ml.function(f32[m, n], f32[n, m])(lambda x, y: x.T * y + x.T), lanes)
        check(ml.function(f32[2, m, 3, n])(lambda x: ml.transpose(x, (0, 3, 2, 1))), lanes)


@LANES
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)], ids=str)
def test_reductions_of_every_length(lanes: int, axes: tuple[int, ...]) -> None:
    for n in (*around(lanes), 9 * lanes + 1):
        for m in (1, 5):
            check(ml.function(f32[m, n])(lambda x: ml.sum(x, axes)), lanes)
            check(ml.function(f32[m, n])(lambda x: ml.max(x, axes)), lanes)


@LANES
def test_positions_of_the_largest(lanes: int) -> None:
    for n in around(lanes):
        check(ml.function(f32[3, n])(lambda x: ml.argmax(x, 1)), lanes)
        check(ml.function(f32[n, 3])(lambda x: ml.argmax(x, 0)), lanes)


@LANES
def test_rows_of_every_length(lanes: int) -> None:
    for n in around(lanes):
        check(decompose(ml.function(f32[3, n])(lambda x: ml.softmax(x, 1))), lanes)
        check(decompose(ml.function(f32[3, n], f32[n])(ml.layer_norm)), lanes)


@LANES
def test_long_rows_are_written_while_the_next_are_computed(lanes: int) -> None:
    for n in (256, 301):
        kernel = check(decompose(ml.function(f32[64, n])(lambda x: ml.softmax(x, 1))), lanes)
        assert "mod 2" in str(kernel)


@LANES
def test_operands_both_ways_round(lanes: int) -> None:
    n = 2 * lanes + 3

    @ml.function(f32[n, lanes], f32[lanes, n], f32[n])
    def both_ways(x: Value, y: Value, b: Value) -> Value:
        return ml.transpose(x, (1, 0)) * y + b

    kernel = check(both_ways, lanes)
    assert {local.shape for local in kernel.locals} == {(lanes, lanes)}


@LANES
@pytest.mark.parametrize("padding", [0, 1])
def test_windows_of_every_edge(lanes: int, padding: int) -> None:
    for size, channels in product((3, 4, 6), (1, 3, lanes + 1)):

        @ml.function(f32[1, size, size, channels], f32[2, channels, 3, 3])
        def conv(x: Value, w: Value) -> Value:
            return ml.conv(x, w, padding=padding, layout="nhwc")

        check(conv, lanes)
        pooled = ml.function(f32[1, size, size, channels])(
            lambda x: ml.max_pool(x, (3, 3), padding=padding, strides=1, layout="nhwc")
        )
        check(pooled, lanes)


@LANES
def test_an_output_read_again_in_another_order(lanes: int) -> None:
    """The second nest reads columns of what the first writes in rows."""
    for n in (2, 5, lanes + 1):

        @ml.function(f32[n, n])
        def f(x: Value) -> tuple[Value, Value]:
            y = ml.exp(x)
            return y, y.sum(0)

        check(f, lanes)


def test_large_kernels_are_dealt_to_threads() -> None:
    for fn in (
        ml.function(f32[400, 400])(lambda x: ml.exp(x)),
        ml.function(f32[400, 1000])(lambda x: ml.sum(x, (1,))),
        ml.function(f32[200, 64], f32[64, 200])(lambda a, b: a @ b),
        decompose(ml.function(f32[400, 300])(lambda x: ml.softmax(x, 1))),
    ):
        assert Kind.PARALLEL in kinds(check(fn, 16))


def test_small_kernels_are_not() -> None:
    assert Kind.PARALLEL not in kinds(check(ml.function(f32[9, 9])(lambda x: ml.exp(x)), 16))


@LANES
def test_a_sum_of_everything_is_dealt_to_threads_in_pieces(lanes: int) -> None:
    for shape in ((700, 700), (709, 701)):
        kernel = check(ml.function(f32[shape])(lambda x: ml.max(x)), lanes)
        assert Kind.PARALLEL in kinds(kernel)
        assert any(local.name == "partial" and local.shape == (64,) for local in kernel.locals)


@LANES
def test_parts_of_a_joined_row_have_loops_of_their_own(lanes: int) -> None:
    """Each is computed for its part only, not for all of the row to choose from."""
    @ml.function(f32[8, 160], f32[8, 160])
    def parts(x: Value, y: Value) -> tuple[Value, Value]:
        scaled = x * y
        return ml.tanh(scaled), ml.concat([scaled * 2.0, scaled * scaled, y], -1)

    assert "select" not in str(check(parts, lanes))
