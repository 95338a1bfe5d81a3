"""strassen: which products are multiplied in halves, what becomes of them, and how exact it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.errors import InputError, MlirLiteError
from mlir_lite.ir import parameter
from mlir_lite.ir.parser import parse
from mlir_lite.ops.algorithms.strassen import LEFT, RESULT, RIGHT, StrassenMatmul
from mlir_lite.ops.regions.group import Group
from mlir_lite.ops.table import TABLE
from mlir_lite.passes.algorithms.accuracy import strassen_error
from mlir_lite.passes.algorithms.strassen import LIMIT, plan_products, strassen
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.passes.schedule.cost.strassen import strassen_block
from mlir_lite.target import Target, named_target
from mlir_lite.types import Array, TensorType


def cpu() -> Target:
    target = named_target("cpu:avx512")
    assert target is not None
    return target


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def by_constant(
    rows: tuple[int, ...], weight: Array, follow: Callable[[Value], Value] = lambda y: y
) -> Function:
    """A function of one product by a constant matrix."""
    inner, columns = weight.shape

    def product(x: Value, w: Value) -> Value:
        return follow(x @ w)

    return ml.function(f32[*rows, inner], f32[inner, columns])(product).bind({"w": weight})


def names(fn: Function) -> list[str]:
    return [node.op.name for node in fn.nodes]


def test_seven_products_give_the_eight() -> None:
    """Every quarter of the result has each product of quarters as often as it should."""
    left, right, result = np.array(LEFT), np.array(RIGHT), np.array(RESULT)
    found = np.einsum("qp,pa,pb->qab", result, left, right)
    for row, inner, column in np.ndindex(2, 2, 2):
        found[2 * row + column, 2 * row + inner, 2 * inner + column] -= 1
    assert not found.any()


def test_a_large_product_by_a_constant_is_multiplied_in_halves() -> None:
    fn = strassen(by_constant((1, 128), normal(768, 1024)), target=cpu())
    assert names(fn) == ["constant", "strassen_input", "strassen_panels", "strassen_matmul"]
    assert fn.results[0].type == TensorType((1, 128, 1024), f32)


@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(1, 4096, 4096), (128, 64, 64), (127, 768, 768), (128, 767, 768)]
)
def test_what_would_not_gain_or_has_no_halves_stays_whole(
    rows: int, inner: int, columns: int
) -> None:
    fn = by_constant((rows,), normal(inner, columns))
    assert names(strassen(fn, target=cpu())) == names(fn)


def test_a_product_of_two_parameters_stays_whole() -> None:
    fn = ml.function(f32[128, 768], f32[768, 768])(lambda x, w: x @ w)
    assert names(strassen(fn, target=cpu())) == ["matmul"]


def test_none_is_halved_when_that_is_off() -> None:
    fn = by_constant((128,), normal(768, 768))
    assert strassen(fn, target=cpu(), choice="off") is fn


def test_none_is_halved_without_being_asked() -> None:
    run = ml.compile(by_constant((128,), normal(768, 768)), threads=1)
    assert "strassen_matmul" not in run.stages["fused"]


def test_rows_come_in_pairs() -> None:
    """What the option costs, and why it is one."""
    x = normal(128, 768)
    x[3] = np.inf
    fn = by_constant((128,), normal(768, 768))
    halved, whole = ml.compile(fn, threads=1, strassen="auto"), ml.compile(fn, threads=1)
    finite = np.isfinite(np.stack([halved(x), whole(x)])).all(-1)
    assert set(np.flatnonzero(~finite[0])) == {3, 3 + 64}
    assert set(np.flatnonzero(~finite[1])) == {3}


def test_another_choice_is_refused() -> None:
    fn = by_constant((128,), normal(768, 768))
    with pytest.raises(InputError, match="strassen is auto or off, not 2"):
        strassen(fn, target=cpu(), choice="2")


def test_a_product_that_would_lose_too_much_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    fn = by_constant((128,), normal(768, 768))
    (entry,) = plan_products(fn, cpu())
    assert entry.block is not None and entry.error is not None and entry.error <= LIMIT
    monkeypatch.setattr("mlir_lite.passes.algorithms.strassen.LIMIT", 0.9 * entry.error)
    (entry,) = plan_products(fn, cpu())
    assert entry.block is None and entry.error is not None
    assert names(strassen(fn, target=cpu())) == ["constant", "matmul"]


def test_the_error_is_measured_on_the_matrix() -> None:
    assert 5e-8 < strassen_error(normal(768, 768)) < LIMIT
    assert strassen_error(np.zeros((8, 8), np.float32)) == 0


def test_measured_errors_are_those_of_machine_code() -> None:
    weight, x = normal(768, 768), normal(128, 768)
    run = ml.compile(by_constant((128,), weight), threads=1, strassen="auto")
    assert "strassen_matmul" in run.stages["fused"]
    exact = x.astype(np.float64) @ weight.astype(np.float64)
    error = np.abs(run(x) - exact).max() / np.abs(exact).max()
    # The largest errors of samples vary: of 16, 32 and 64 rows they were 6.7, 8.6 and 4.6e-7.
    assert 0.3 * strassen_error(weight) < error < 2 * strassen_error(weight)


def test_what_follows_is_computed_with_the_sums() -> None:
    fn = by_constant((2, 64), normal(768, 768), lambda y: ml.relu(y + 1.0))
    fused = run_passes(fn, cpu_pipeline(cpu(), strassen="auto"), verify="off")
    (group,) = [node.op for node in fused.nodes if isinstance(node.op, Group)]
    assert {"strassen_matmul", "add", "relu"} <= set(names(group.region))


def test_a_step_of_a_loop_may_be_halved() -> None:
    weight = normal(512, 512) / 32

    @ml.function(f32[3, 64, 512], f32[512, 512])
    def steps(xs: Value, w: Value) -> Value:
        def step(h: Value, x: Value) -> tuple[Value, Value]:
            h = ml.tanh(x + h @ w)
            return h, h

        _, states = ml.scan(step, ml.zeros((64, 512)), xs)
        assert isinstance(states, Value)
        return states

    xs = normal(3, 64, 512)
    fn = steps.bind({"w": weight})
    halved, whole = ml.compile(fn, threads=1, strassen="auto"), ml.compile(fn, threads=1)
    assert "strassen_matmul" in halved.stages["fused"]
    assert "strassen_matmul" not in whole.stages["fused"]
    # States are at most 1: 8 eps for each of the two ways.
    np.testing.assert_allclose(halved(xs), whole(xs), rtol=0, atol=2 * 8 * 2.0**-23)


def test_few_rows_are_halved_only_where_a_loop_leaves_the_panels_in_a_cache() -> None:
    sizes = ProductSizes(32, 512, 2048, f32)
    assert strassen_block(sizes, cpu()) is None
    block = strassen_block(sizes, cpu(), in_loop=True)
    assert block is not None and block.height == 16


def test_blocks_hold_whole_rows_and_stay_in_the_second_cache() -> None:
    block = strassen_block(ProductSizes(1000, 1024, 4096, f32), cpu())
    assert block is not None and 500 % block.height == 0
    assert 7 * block.height * block.width * 4 <= cpu().l2_bytes // 4


@pytest.mark.parametrize(("inner", "asks"), [(768, True), (64, False)])
def test_the_next_matrix_is_asked_for_where_they_come_from_far(inner: int, asks: bool) -> None:
    op = StrassenMatmul(
        parameter("points", TensorType((7, 64, inner // 2), f32)),
        parameter("panels", TensorType((8, 7, inner // 2, 64), f32)),
        (128,),
        1024,
        64,
    )
    text = str(schedule(op.kernel("product"), cpu()))
    assert ("call @prefetch_f32(panels[n, p, 0, " in text) == asks


def test_a_block_without_rows_is_refused() -> None:
    text = """
        func @f(%u: tensor<7x2x2xf32>, %v: tensor<1x7x2x4xf32>) -> tensor<4x8xf32> {
          %0 = strassen_matmul %u, %v {rows = [4], columns = 8, height = 0} : tensor<4x8xf32>
          return %0
        }"""
    with pytest.raises(MlirLiteError, match="blocks of 0 rows in panels of 4 columns"):
        parse(text, TABLE)


def test_the_report_says_of_each_product_how_it_is_multiplied() -> None:
    report = ml.compile(by_constant((128,), normal(768, 768)), strassen="auto").report
    (line,) = [line for line in report.splitlines() if "128x768x768" in line]
    whole, halves, error = line.split()[-3:]
    assert "halves 64x64" in line and int(halves) < int(whole) and float(error) <= LIMIT
    assert "cycles of one core as predicted" in report


def test_cards_multiply_whole() -> None:
    card = named_target("cuda:sm_90")
    assert card is not None
    assert strassen_block(ProductSizes(1024, 1024, 4096, f32), card) is None


def test_results_do_not_depend_on_threads() -> None:
    weight, x = normal(512, 1024), normal(192, 512)
    fn = by_constant((192,), weight)
    one, two = (ml.compile(fn, threads=count, strassen="auto") for count in (1, 2))
    assert "strassen_matmul" in one.stages["fused"]
    np.testing.assert_array_equal(one(x), two(x))
