"""fuse: what one kernel computes well becomes a group, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64
from mlir_lite.ops.regions.group import Group
from mlir_lite.passes.decompose import decompose
from mlir_lite.passes.fusion.fuse import fuse
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.simplify.constant_fold import constant_fold
from mlir_lite.target import Target
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from .expect import expect, operations, same_results

TARGET = Target("cpu:test")


def groups(fn: Function) -> list[tuple[str, list[str]]]:
    """Kind and operations of every group, after comparing the results."""
    fused = fuse(fn)
    same_results(fn, fused)
    return [
        (node.op.kind, operations(node.op.region))
        for node in fused.nodes
        if isinstance(node.op, Group)
    ]


def test_a_chain_of_elementwise_operations_is_one_group() -> None:
    expect(
        fuse,
        before="""
            func @f(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
              %0 = add %x, %y : tensor<4xf32>
              %1 = exp %0 : tensor<4xf32>
              %2 = multiply %1, %x : tensor<4xf32>
              return %2
            }""",
        after="""
            func @f(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
              %0 = group [%x, %y] {kind = "elementwise"}
                  @group(%x0: tensor<4xf32>, %x1: tensor<4xf32>) {
                %0 = add %x0, %x1 : tensor<4xf32>
                %1 = exp %0 : tensor<4xf32>
                %2 = multiply %1, %x0 : tensor<4xf32>
                return %2
              } : tensor<4xf32>
              return %0
            }""",
    )


def test_a_single_operation_stays_bare() -> None:
    fn = ml.function(f32[4])(ml.exp)
    assert groups(fn) == [] and operations(fuse(fn)) == ["exp"]


def test_the_epilogue_of_a_product() -> None:
    fn = ml.function(f32[6, 5], f32[5, 7], f32[7])(lambda x, w, b: ml.relu(x @ w + b))
    assert groups(fn) == [("product", ["matmul", "broadcast", "add", "relu"])]


def test_the_epilogue_of_a_convolution() -> None:
    @ml.function(f32[1, 8, 8, 3], f32[16, 3, 3, 3], f32[16])
    def f(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(ml.conv(x, w, b, padding=1, layout="nhwc"))

    ((_, names),) = groups(f)
    assert names[0] == "conv" and names[-1] == "relu"


def test_a_product_does_not_compute_its_operand_anew_for_every_row() -> None:
    """exp(x) would be computed for each of 7 columns."""
    fn = ml.function(f32[6, 5], f32[5, 7])(lambda x, w: ml.exp(x) @ w)
    assert groups(fn) == []


def test_two_products_are_two_kernels() -> None:
    fn = ml.function(f32[6, 5], f32[5, 7], f32[7, 3])(lambda x, w, v: ml.relu(x @ w) @ v)
    assert groups(fn) == [("product", ["matmul", "relu"])]


@pytest.mark.parametrize(
    "rowwise",
    [lambda x: ml.softmax(x, 1), lambda x: ml.layer_norm(x, x[0]), lambda x: x / x.sum(1, True)],
    ids=["softmax", "layer norm", "normalise"],
)
def test_rows_are_one_group(rowwise: object) -> None:
    assert callable(rowwise)
    fn = decompose(ml.function(f32[5, 9])(rowwise))
    kinds = [kind for kind, _ in groups(fn)]
    assert kinds == ["rows"]


def test_sums_of_columns_are_no_rows() -> None:
    """Rows would run along each column, an element of every row; so they are summed first."""

    @ml.function(f32[64, 40], f32[40])
    def step(x: Value, m: Value) -> tuple[Value, Value]:
        m = 0.9 * m + ml.sum(x, 0)
        return m, m * m

    assert "rows" not in [kind for kind, _ in groups(step)]


def test_a_row_that_no_cache_holds_is_not_kept() -> None:
    """Softmax of rows of 400 kB: the row would leave the nearest caches between its passes."""
    fn = decompose(ml.function(f32[2, 100_000])(lambda x: ml.softmax(x, 1)))
    assert len(groups(fn)) > 1


def test_no_fusion_across_a_cycle() -> None:
    """`add` reads the product's result directly and through another kernel; with the product it
    would wait for a kernel that waits for it."""

    @ml.function(f32[6, 6], f32[6, 6])
    def f(x: Value, w: Value) -> Value:
        y = x @ w
        return y + y @ w

    names = [names for _, names in groups(f)]
    assert names == [["matmul", "add"]]
    fused = fuse(f)
    assert operations(fused) == ["matmul", "group"]


def test_a_value_with_users_outside_is_a_second_result() -> None:
    @ml.function(f32[6, 6])
    def f(x: Value) -> tuple[Value, Value]:
        y = ml.exp(x)
        return ml.relu(y - x), y

    fused = fuse(f)
    same_results(f, fused)
    (group,) = (node for node in fused.nodes if isinstance(node.op, Group))
    assert len(group.results) == 2


def test_two_groups_repeat_a_broadcast_each_for_itself() -> None:
    @ml.function(f32[6, 6], f32[6])
    def f(x: Value, b: Value) -> Value:
        repeated = ml.broadcast(b, (6, 6))
        return ml.relu(x @ x + repeated) @ ml.exp(x - repeated)

    named = groups(f)
    assert [names.count("broadcast") for _, names in named] == [1, 1]
    assert "broadcast" not in operations(fuse(f))


def test_a_broadcast_that_is_a_result_is_made() -> None:
    fn = ml.function(f32[3], f32[2, 3])(lambda b, x: (ml.broadcast(b, (2, 3)), x + b))
    assert groups(fn) == [("elementwise", ["broadcast", "add"])]
    assert operations(fuse(fn)).count("broadcast") == 1


def test_an_empty_repetition_beside_others() -> None:
    """What repeats nothing is computed as any operation is."""

    @ml.function(f32[1], f32[3])
    def f(x: Value, y: Value) -> Value:
        return ml.concat([ml.broadcast(x, (0,)), y + 1], 0) * 2

    same_results(f, fuse(f))


X = np.arange(12, dtype=np.float32).reshape(4, 3)


def lowered_result(fn: Function, *arrays: Array) -> Array:
    """The result of the lowered program, run in the interpreter."""
    found = lower(fuse(constant_fold(fn)), TARGET)
    constants = {name: data.array() for name, data in found.constants.items()}
    program = found.program
    slots = {slot.name for slot in program.slots if slot.role.value == "arena"}
    assert not slots, "one kernel needs no arena"
    (result,) = run_program(program, arrays, constants)
    return result


def test_a_gathered_row_is_checked_outside_of_its_group() -> None:
    fn = ml.function(f32[4, 3], i64[2])(lambda x, i: ml.gather(x, i, 0) * 2 + 1)
    ((_, names),) = groups(fn)
    assert names[0] == "gather"
    labels = [step.label for step in lower(fuse(fn), TARGET).program.calls]
    assert labels[0] == "check gather" and len(labels) == 2
    expected = X[[3, 1]] * 2 + 1
    np.testing.assert_array_equal(lowered_result(fn, X, np.array([3, 1])), expected)


def test_indices_that_are_computed_are_there_before_the_check() -> None:
    fn = ml.function(f32[4, 3], i64[2])(lambda x, i: ml.gather(x, i + 1, 0) * 2)
    (_, indices), (_, reading) = groups(fn)
    assert indices == ["broadcast", "add"] and reading[0] == "gather"


@pytest.mark.parametrize("computed", [False, True])
def test_repeated_indices_are_there_before_the_check(computed: bool) -> None:
    @ml.function(f32[4, 3], i64[2])
    def f(x: Value, i: Value) -> Value:
        index = i + 1 if computed else i
        return ml.gather(x, ml.broadcast(index, (5, 2)), 0) + 1.0

    fused = fuse(f)
    same_results(f, fused)
    lower(fused, TARGET)
    assert operations(fused)[-1] == "group"


def test_a_constant_index_is_there_before_the_check() -> None:
    fn = ml.function(f32[4, 3])(lambda x: ml.gather(x, np.array(2), 0) + 1)
    np.testing.assert_array_equal(lowered_result(fn, X), X[2] + 1)


def test_equal_layers_are_judged_once() -> None:
    """The same chain twice gives equal groups, so that lowering makes one kernel."""

    @ml.function(f32[6, 6], f32[6, 6])
    def f(x: Value, w: Value) -> Value:
        for _ in range(3):
            x = ml.relu(x @ w)
        return x

    assert groups(f) == [("product", ["matmul", "relu"])] * 3
    assert len(lower(fuse(f), TARGET).program.kernels) == 1


@pytest.mark.parametrize(
    ("terms", "rows", "columns", "turned"),
    [(256, 520, 256, True), (256, 512, 256, False), (64, 520, 256, False), (256, 520, 64, False)],
    ids=["far", "near", "few terms", "few columns"],
)
def test_a_left_factor_that_sums_go_far_through_is_turned_before(
    terms: int, rows: int, columns: int, turned: bool
) -> None:
    @ml.function(f32[terms, rows], f32[terms, columns])
    def fn(x: Value, y: Value) -> Value:
        return ml.relu(ml.transpose(x, perm=(1, 0)) @ y)

    fused = fuse(fn)
    same_results(fn, fused)
    assert len(fused.nodes) == 1 + turned
