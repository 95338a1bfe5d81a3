"""constant-fold: small results at once, large ones as recorded operations that nobody runs yet."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, RunError, Value, f32, i64
from mlir_lite.ir import INLINE_BYTES, Constant, ConstantData, run_reference
from mlir_lite.ops.base.constant import constant
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.passes.simplify.computed import Computed
from mlir_lite.passes.simplify.constant_fold import constant_fold
from mlir_lite.target import Target
from mlir_lite.types import Array

from ..expect import expect, operations, same_results

TARGET = Target("cpu:test")


@dataclass(eq=False)
class Counting:
    """A source that counts how often it is read."""

    array: Array
    reads: int = 0

    def read(self) -> Array:
        self.reads += 1
        return self.array

    def origin(self) -> Hashable:
        return self


def large(*shape: int) -> tuple[Counting, ConstantData]:
    source = Counting(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    assert source.array.nbytes > INLINE_BYTES
    return source, ConstantData(f32[shape], source, "w")


def data(fn: Function) -> list[ConstantData]:
    return [node.op.value for node in fn.nodes if isinstance(node.op, Constant)]


def test_small_constants_are_computed() -> None:
    expect(
        constant_fold,
        before="""
            func @f(%x: tensor<2xf32>) -> tensor<2xf32> {
              %a = constant {value = dense<[1.0, 2.0]>} : tensor<2xf32>
              %0 = square %a : tensor<2xf32>
              %1 = add %0, %a : tensor<2xf32>
              %2 = multiply %x, %1 : tensor<2xf32>
              return %2
            }""",
        after="""
            func @f(%x: tensor<2xf32>) -> tensor<2xf32> {
              %a = constant {value = dense<[2.0, 6.0]>} : tensor<2xf32>
              %0 = multiply %x, %a : tensor<2xf32>
              return %0
            }""",
    )


def test_what_a_parameter_decides_stays() -> None:
    expect(
        constant_fold,
        before="""
            func @f(%x: tensor<2xf32>) -> tensor<2xf32> {
              %a = constant {value = dense<[1.0, 2.0]>} : tensor<2xf32>
              %0 = add %x, %a : tensor<2xf32>
              return %0
            }""",
    )


def test_every_result_of_an_operation_is_folded() -> None:
    @ml.function(f32[2])
    def f(x: Value) -> Value:
        first, second = ml.split(constant(ConstantData.of(np.arange(4, dtype=np.float32))), 2)
        return x * first + second

    got = constant_fold(f)
    same_results(f, got)
    assert operations(got) == ["multiply", "add"]


def test_what_is_only_repeated_is_not_stored() -> None:
    """A bias of 4 elements over a map of 36 stays 4 elements, and a repeated sum is summed once."""

    @ml.function(f32[2, 3, 3, 4])
    def f(x: Value) -> Value:
        bias = constant(ConstantData.of(np.arange(4, dtype=np.float32)))
        return x + ml.broadcast(bias, (2, 3, 3, 4))

    got = constant_fold(f)
    same_results(f, got)
    assert [entry.type.elements for entry in data(got)] == [4]
    assert operations(got) == ["broadcast", "add"]


def test_a_large_weight_is_not_read_before_the_end() -> None:
    """Folding, packing, fusing, lowering, planning and printing: none needs the numbers."""
    source, weight = large(96, 64)

    @ml.function(f32[8, 96])
    def f(x: Value) -> Value:
        return ml.relu(x @ (constant(weight).T.T * 2))

    fused = run_passes(f, cpu_pipeline(TARGET))
    lowered = lower(fused, TARGET)
    texts = (str(fused), str(plan_memory(lowered)))
    assert source.reads == 0 and all(texts)
    (panels,) = (entry for entry in lowered.constants.values() if not entry.is_small)
    assert isinstance(panels.source, Computed)
    read = panels.array()
    assert source.reads == 1
    columns = read.transpose(1, 0, 2).reshape(96, -1)[:, :64]
    np.testing.assert_array_equal(columns, source.array * 2)


def test_recorded_operations_chain_until_they_are_read() -> None:
    source, weight = large(40, 30)
    fn = ml.function(f32[30, 40])(lambda x: x + ml.exp(constant(weight)).T)
    got = constant_fold(fn)
    assert source.reads == 0 and operations(got) == ["add"]
    (folded,) = data(got)
    assert folded.name == "w" and source.reads == 0
    np.testing.assert_array_equal(folded.array(), np.exp(source.array).T)


def test_a_result_much_larger_than_its_operands_is_not_stored() -> None:
    values = np.arange(600, dtype=np.float32).reshape(600, 1)

    @ml.function(f32[600, 600])
    def f(x: Value) -> Value:
        column = constant(ConstantData.of(values))
        return x + column @ column.T

    assert "matmul" in operations(constant_fold(f))


def test_a_table_that_is_only_looked_up_is_not_computed_whole() -> None:
    """exp(table)[i] is less work than all of exp(table) for a few i."""
    _, table = large(600, 4)
    fn = ml.function(i64[3])(lambda i: ml.gather(ml.exp(constant(table)), i, 0))
    assert operations(constant_fold(fn)) == ["exp", "gather"]


def test_a_small_piece_does_not_keep_the_whole_alive() -> None:
    _, weight = large(600, 4)
    fn = ml.function(f32[2, 4])(lambda x: x + constant(weight)[:2])
    (piece,) = data(constant_fold(fn))
    assert piece.array().base is None


def test_a_fault_in_constants_is_left_to_the_run() -> None:
    """Index 7 of 3 rows: the user's line is named when the function runs, as for data."""
    rows = ConstantData.of(np.arange(6, dtype=np.float32).reshape(3, 2))

    @ml.function(f32[2])
    def f(x: Value) -> Value:
        return x + ml.gather(constant(rows), constant(ConstantData.of(np.array(7))), 0)

    assert "gather" in operations(constant_fold(f))
    with pytest.raises(RunError, match=r"test_constant_fold\.py:\d+: an index is out of range"):
        ml.compile(f)(np.zeros(2, np.float32))


def test_a_gather_of_constants_without_fault_is_folded() -> None:
    rows = ConstantData.of(np.arange(6, dtype=np.float32).reshape(3, 2))

    @ml.function(f32[2])
    def f(x: Value) -> Value:
        return x + ml.gather(constant(rows), constant(ConstantData.of(np.array(-1))), 0)

    got = constant_fold(f)
    assert operations(got) == ["add"]
    (result,) = run_reference(got, (np.zeros(2, np.float32),))
    np.testing.assert_array_equal(result, [4, 5])
