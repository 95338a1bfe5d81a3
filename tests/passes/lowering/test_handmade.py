"""Kernels that operations bring along, alone and with what follows done where they store."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite.errors import PassError
from mlir_lite.expr import INDEX, Load, Var, index
from mlir_lite.ir import Builder, Function, Op, Value, op, parameter, run_reference
from mlir_lite.ops.regions.group import Group
from mlir_lite.ops.table import TABLE
from mlir_lite.passes.fusion.fuse import fuse
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.manager import sample_inputs
from mlir_lite.target import named_target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Buffer, Kernel, Loop, Ref, Store
from mlir_lite.types import TensorType, f32

PIXELS = """
    func @f(%m: tensor<16x4x3xf32>, %bias: tensor<3xf32>, %rest: tensor<1x3x4x3xf32>) \
-> tensor<1x3x4x3xf32> {
      %0 = winograd_output [%m] {tile = 2, sizes = [1, 3, 4]} : tensor<1x3x4x3xf32>
      %1 = broadcast %bias {shape = [1, 3, 4, 3]} : tensor<1x3x4x3xf32>
      %2 = add %0, %1 : tensor<1x3x4x3xf32>
      %3 = add %2, %rest : tensor<1x3x4x3xf32>
      %4 = silu %3 : tensor<1x3x4x3xf32>
      return %4
    }"""


def operation_kinds(fn: Function) -> list[str]:
    """The operations, groups by their kind."""

    def kind(op: Op) -> str:
        return f"group of {op.kind}" if isinstance(op, Group) else op.name

    return [kind(node.op) for node in fn.nodes]


def check_kernel_of(fn: Function) -> None:
    """The kernel of the whole function gives what the function does."""
    kernel = region_kernel(fn, "kernel")
    verify_kernel(kernel)
    arrays = sample_inputs(fn)
    names = [buffer.name for buffer in kernel.params]
    found = run_kernel(kernel, dict(zip(names, arrays, strict=False)))
    expected = run_reference(fn, arrays)
    for name, want in zip(kernel.outputs, expected, strict=True):
        np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-5)


def test_elementwise_operations_join_the_kernel_before_them() -> None:
    fused = fuse(ml.parse(PIXELS))
    assert operation_kinds(fused) == ["group of winograd_output"]


def test_epilogue_is_computed_where_the_kernel_stores() -> None:
    check_kernel_of(ml.parse(PIXELS))


ATTENTION = """
    func @f(%y: tensor<20x9x8xf32>) -> tensor<20x3x8xf32> {{
      %0 = slice %y {{starts = [0, 0, 0], sizes = [20, 3, 8], steps = [1, 1, 1]}} \
: tensor<20x3x8xf32>
      %1 = slice %y {{starts = [0, 3, 0], sizes = [20, 3, 8], steps = [1, 1, {step}]}} \
: tensor<20x3x8xf32>
      %2 = slice %y {{starts = [0, 6, 0], sizes = [20, 3, 8], steps = [1, 1, 1]}} \
: tensor<20x3x8xf32>
      %3 = blocked_attention %0, %1, %2, _ {{scale = 0.5, rows = 16, columns = 20, \
query_axes = [1, 0, 2], key_axes = [1, 0, 2], value_axes = [1, 0, 2], result_axes = [1, 0, 2]}} \
: tensor<20x3x8xf32>
      %4 = relu %3 : tensor<20x3x8xf32>
      return %4
    }}"""
IN_PLACE = ATTENTION.format(step=1)


def test_operands_that_are_parts_are_read_where_they_lie() -> None:
    fn = ml.parse(IN_PLACE)
    check_kernel_of(fn)
    assert len(region_kernel(fn, "kernel").params) == 2
    assert operation_kinds(fuse(fn)) == ["group of blocked_attention"]


def test_a_part_that_something_else_reads_is_made() -> None:
    fn = ml.parse(IN_PLACE.replace("relu %3", "add %3, %1"))
    assert operation_kinds(fuse(fn)) == ["slice", "group of blocked_attention"]


def test_parts_are_made_for_a_card() -> None:
    fused = fuse(ml.parse(IN_PLACE), target=named_target("cuda:sm_80"))
    assert operation_kinds(fused)[:3] == ["slice"] * 3


@op
class Doubled(Op):
    """Twice its operand, made in the result itself."""

    x: Value

    def infer(self) -> TensorType:
        return self.x.type

    def kernel(self, name: str) -> Kernel:
        i = Var(INDEX, "i")
        (extent,) = self.x.type.static_shape
        target, made = Ref("out", (i,)), Load(f32, "out", (i,))
        body = (Store(target, Load(f32, "x", (i,))), Store(target, made + made))
        params = (Buffer("x", f32, (extent,)), Buffer("out", f32, (extent,)))
        return Kernel(name, params, ("out",), (Loop("i", index(0), index(extent), body),))


def test_result_that_its_kernel_reads_back_stays_whole() -> None:
    builder = Builder(TABLE)
    x = parameter("x", TensorType((3,), f32))
    with builder.active():
        (y,) = builder.emit(Doubled(x))
        result = y + 1.0
    fn = builder.finish("f", (x,), (result,))
    with pytest.raises(PassError, match="before it is complete"):
        region_kernel(fn, "kernel")


def test_operand_given_twice_is_one_parameter() -> None:
    check_kernel_of(
        ml.parse("""
            func @f(%i: tensor<3xi64>) -> tensor<3xi64> {
              %0 = scatter_elements %i, %i, %i {axis = 0} : tensor<3xi64>
              return %0
            }""")
    )


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            "results of its own",
            """
            func @f(%m: tensor<16x1x2xf32>) -> (tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) {
              %0 = winograd_output [%m] {tile = 2, sizes = [1, 2, 2]} : tensor<1x2x2x2xf32>
              %1 = relu %0 : tensor<1x2x2x2xf32>
              return %0, %1
            }""",
        ),
        (
            "moves elements",
            """
            func @f(%m: tensor<16x1x2xf32>) -> tensor<1x2x2x2xf32> {
              %0 = winograd_output [%m] {tile = 2, sizes = [1, 2, 2]} : tensor<1x2x2x2xf32>
              %1 = transpose %0 {perm = [0, 2, 1, 3]} : tensor<1x2x2x2xf32>
              return %1
            }""",
        ),
        (
            "elements that are not produced",
            """
            func @f(%x: tensor<1x2x2x3xf32>) -> tensor<16x1x4xf32> {
              %0 = winograd_input %x {tile = 2, padding = [[1, 1], [1, 1]]} : tensor<16x1x3xf32>
              %1 = pad %0 {low = [0, 0, 0], high = [0, 0, 1], value = 0.0} : tensor<16x1x4xf32>
              return %1
            }""",
        ),
        (
            "no single elementwise nest",
            """
            func @f(%m: tensor<16x1x2xf32>) -> tensor<1x2x2xf32> {
              %0 = winograd_output [%m] {tile = 2, sizes = [1, 2, 2]} : tensor<1x2x2x2xf32>
              %1 = sum %0 {axes = [3]} : tensor<1x2x2xf32>
              return %1
            }""",
        ),
        (
            "no single elementwise nest",
            """
            func @f(%m: tensor<16x1x2xf32>) -> (tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) {
              %0 = winograd_output [%m] {tile = 2, sizes = [1, 2, 2]} : tensor<1x2x2x2xf32>
              %1 = relu %0 : tensor<1x2x2x2xf32>
              %2 = negative %0 : tensor<1x2x2x2xf32>
              return %1, %2
            }""",
        ),
        (
            "no single nest",
            """
            func @f(%x: tensor<5x3xf32>) -> tensor<5x3xf32> {
              %0 = cumsum %x {axis = 0} : tensor<5x3xf32>
              %1 = relu %0 : tensor<5x3xf32>
              return %1
            }""",
        ),
        (
            "results that its region leaves out",
            """
            func @f(%x: tensor<1x4x4xf64>) -> tensor<1x2xf64> {
              %0 = slice %x {starts = [0, 0, 0], sizes = [1, 4, 2], steps = [1, 1, 1]}
                : tensor<1x4x2xf64>
              %1, %2, %3, %4 = svd_factor %0
                : tensor<1x4x2xf64>, tensor<1x2xf64>, tensor<1x2x2xf64>, tensor<1xi32>
              return %2
            }""",
        ),
        (
            "operands made in its own kernel",
            """
            func @f(%x: tensor<1x2x2x3xf32>) -> tensor<16x1x3xf32> {
              %0 = relu %x : tensor<1x2x2x3xf32>
              %1 = winograd_input %0 {tile = 2, padding = [[1, 1], [1, 1]]} : tensor<16x1x3xf32>
              return %1
            }""",
        ),
    ],
    ids=lambda text: text if len(text) < 40 else "",
)
def test_what_cannot_be_one_kernel_is_not_fused(reason: str, text: str) -> None:
    fn = ml.parse(text)
    with pytest.raises(PassError, match=reason):
        region_kernel(fn, "kernel")
    assert not any(isinstance(node.op, Group) for node in fuse(fn).nodes)
