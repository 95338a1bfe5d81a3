"""What comes from memory: how it is read, what is asked for, what is written past the caches."""

from __future__ import annotations

from dataclasses import replace

import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.expr import index
from mlir_lite.passes.decompose import decompose
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.cost import memory as memory_cost
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Call, Kernel, Kind, Loop
from mlir_lite.tile.traverse import walk

from .scheduled import LANES, TARGETS, check


def of_small_caches(lanes: int) -> Target:
    """What such arrays as tests have comes from memory."""
    return replace(TARGETS[lanes], l3_bytes=1 << 16)


def streams_of(kernel: Kernel) -> list[Loop]:
    """The loops over places of one array."""
    loops = [loop for loop in walk(kernel.body) if isinstance(loop, Loop)]
    return [loop for loop in loops if loop.axis.endswith(".s")]


@LANES
@pytest.mark.parametrize("shape", [(700, 700), (709, 701)])
def test_what_is_summed_from_memory_is_read_at_several_places(
    lanes: int, shape: tuple[int, int]
) -> None:
    small = of_small_caches(lanes)
    kernel = check(ml.function(f32[shape])(lambda x: ml.sum(x)), lanes, small, whole=True)
    (stream, *_) = streams_of(kernel)
    assert (stream.kind, stream.stop) == (Kind.UNROLL, index(small.read_streams))
    assert not any(isinstance(stmt, Call) for stmt in walk(kernel.body))


@LANES
@pytest.mark.parametrize("shape", [(700, 700), (709, 701)])
def test_a_core_that_does_not_follow_reads_in_bursts(lanes: int, shape: tuple[int, int]) -> None:
    """And asks for what comes next, whatever the reduction is."""
    small = replace(of_small_caches(lanes), followed_rows=1)
    for reduce in (ml.sum, ml.max):
        fn = ml.function(f32[shape])(lambda x, reduce=reduce: reduce(x))
        kernel = check(fn, lanes, small, whole=True)
        (stream,) = streams_of(kernel)
        assert (stream.kind, stream.stop) == (Kind.SERIAL, index(small.read_streams))
        assert any(isinstance(stmt, Call) for stmt in walk(kernel.body))


@LANES
def test_what_takes_long_to_make_is_not_repeated_for_each_place(lanes: int) -> None:
    fn = ml.function(f32[700, 700])(lambda x: ml.sum(ml.exp(ml.sin(x))))
    kernel = schedule(region_kernel(fn, "kernel"), of_small_caches(lanes))
    assert not streams_of(kernel) and any(isinstance(stmt, Call) for stmt in walk(kernel.body))


@LANES
@pytest.mark.parametrize("shape", [(60, 700), (61, 333)])
def test_rows_from_memory_are_summed_side_by_side(lanes: int, shape: tuple[int, int]) -> None:
    small = of_small_caches(lanes)
    for fn in (
        ml.function(f32[shape])(lambda x: ml.sum(x, (1,))),
        ml.function(f32[shape], f32[shape[1]])(lambda x, v: x @ v),
    ):
        kernel = check(fn, lanes, small)
        assert small.read_streams in {local.shape[0] for local in kernel.locals if local.shape}


def far_kernel(*rows: int) -> Kernel:
    """An addition, and one followed by much arithmetic, as scheduled."""
    (count,) = rows

    @ml.function(f32[count, 4096], f32[count, 4096])
    def far(x: Value, y: Value) -> Value:
        return ml.erf(ml.tanh(x + y)) if count > 3000 else x + y

    return schedule(region_kernel(decompose(far), "far"), Target("cpu"))


def test_what_no_cache_holds_is_written_past_them() -> None:
    assert "nontemporal" in str(far_kernel(2048))
    assert "nontemporal" not in str(far_kernel(256))


def test_a_large_last_cache_of_many_cores_keeps_little_of_what_one_writes() -> None:
    shared = Target("cpu:test", l3_bytes=256 << 20)
    assert memory_cost.beyond_caches(33 << 20, shared)
    assert not memory_cost.beyond_caches(31 << 20, shared)


def test_much_arithmetic_on_data_from_memory_asks_ahead() -> None:
    assert "prefetch_f32(x[" in str(far_kernel(4096))
    assert "prefetch" not in str(far_kernel(2048))


@LANES
def test_a_row_by_a_matrix_streams_it(lanes: int) -> None:
    for k, n in ((64, 1024), (67, 1027), (129, 300)):

        @ml.function(f32[1, k], f32[k, n], f32[n])
        def linear(x: Value, y: Value, b: Value) -> Value:
            return ml.relu(ml.matmul(x, y) + b)

        kernel = check(linear, lanes)
        assert any(local.name == "total" for local in kernel.locals)


@LANES
def test_a_matrix_from_far_is_read_in_whole_rows_with_those_below_asked_for(lanes: int) -> None:
    far = replace(TARGETS[lanes], l2_bytes=1 << 10, read_streams=8, followed_rows=4)
    followed = replace(far, read_streams=1, followed_rows=8)
    for k, n, pieces in ((64, 1024, 8), (67, 1027, 8), (67, 300, 8), (15, 1024, 1)):
        matmul = ml.function(f32[1, k], f32[k, n])(lambda x, y: ml.relu(ml.matmul(x, y)))
        kernel = check(matmul, lanes, far)
        partial = [local.shape for local in kernel.locals if local.name == "partial"]
        assert partial == ([(pieces, n)] if pieces > 1 else [])
        assert "prefetch_f32(" in str(kernel)
        assert "prefetch" not in str(check(matmul, lanes, followed))


@LANES
@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_a_matrix_from_memory_is_read_once_at_some_places(lanes: int, rows: int) -> None:
    small = replace(TARGETS[lanes], l1_bytes=1 << 14, l2_bytes=160 << 10, l3_bytes=256 << 10)
    for k, n in ((256, 512), (259, 515), (290, 1200)):

        @ml.function(f32[rows, k], f32[k, n], f32[n])
        def linear(x: Value, y: Value, b: Value) -> Value:
            return ml.relu(ml.matmul(x, y) + b)

        kernel = check(linear, lanes, small)
        other = check(linear, lanes, replace(small, asked_places=4))  # rows are neighbours there
        for locals_ in (kernel.locals, other.locals)[: rows]:
            (total,) = [local for local in locals_ if local.name == "total"]
            assert total.shape == ((n,) if rows == 1 else (rows, n))
        assert f"prefetch_soon_f32(y[k.c * {k // 8} + k.o + {3 * (k // 32)}, " in str(kernel)


@LANES
@pytest.mark.parametrize("rows, columns, streamed", [(200, 256, True), (203, 131, True),
                                                     (200, 12, False), (4, 256, False)])
def test_columns_of_a_tall_matrix_are_summed_row_by_row(
    lanes: int, rows: int, columns: int, streamed: bool
) -> None:
    near = replace(TARGETS[lanes], l1_bytes=32 << 10)

    @ml.function(f32[rows, columns], f32[rows, columns])
    def gradients(x: Value, y: Value) -> Value:
        return ml.sum(x * y, 0) * 0.5

    kernel = check(gradients, lanes, near)
    assert any(local.name == "total" for local in kernel.locals) == streamed


@LANES
def test_what_a_deep_product_is_added_to_is_asked_for_meanwhile(lanes: int) -> None:
    @ml.function(f32[21, 130], f32[130, 64], f32[21, 64], f32[64])
    def residual(x: Value, w: Value, before: Value, bias: Value) -> Value:
        return ml.matmul(x, w) + before + bias

    asked = [stmt for stmt in walk(check(residual, lanes).body) if isinstance(stmt, Call)]
    assert asked and {request.windows[0].buffer for request in asked} == {"before"}


def test_a_row_by_a_matrix_is_dealt_in_runs_of_half_a_page() -> None:
    assert [memory_cost.streamed_columns(columns, 16) for columns in (300, 1000, 4096, 25000)] == [
        512, 512, 512, 1024,
    ]


def test_sums_of_a_shallow_matrix_stay_in_the_nearest_cache() -> None:
    host = Target("cpu:test")
    shallow, deep = (
        memory_cost.stream_pieces(ProductSizes(1, depth, 50_257, f32), host, rows_too=True)
        for depth in (64, 768)
    )
    assert shallow.columns * f32.bytes <= host.l1_bytes // 2
    assert deep.columns >= 50_257 and deep.rows == 8
