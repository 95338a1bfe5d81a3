"""`ml.checkpoint`: the same numbers in less memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, TypeRuleError, Value, f32, nn
from mlir_lite.ir import Op
from mlir_lite.ops.regions.group import Group
from mlir_lite.ops.shapes.shape import Transpose
from mlir_lite.passes.manager import run_passes, sample_inputs
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target

LAYERS, BATCH, WIDTH = 12, 64, 32


def deep(checkpointed: bool) -> Function:
    """The gradients of a deep MLP, kept or computed again in blocks of four layers."""
    types = [f32[WIDTH, WIDTH]] * LAYERS

    @ml.function(f32[BATCH, WIDTH], *types)
    def loss(x: Value, *weights: Value) -> Value:
        def block(x: Value, *weights: Value) -> Value:
            for weight in weights:
                x = ml.relu(ml.layer_norm(ml.tanh(x @ weight)))
            return x

        run = ml.checkpoint(block) if checkpointed else block
        for start in range(0, LAYERS, 4):
            x = run(x, *weights[start : start + 4])
        return ml.square(x).mean()

    return ml.value_and_grad(loss, [param.name for param in loss.params[1:]])


def operations_of(fn: Function) -> list[Op]:
    """What runs in the program."""
    fused = run_passes(fn, cpu_pipeline(Target("cpu")))
    regions = [node.op.region for node in fused.nodes if isinstance(node.op, Group)]
    inside = [node.op for region in regions for node in region.nodes]
    return [*(node.op for node in fused.nodes), *inside]


def counts_of(fn: Function) -> Counter[str]:
    return Counter(op.name for op in operations_of(fn))


def test_memory_is_traded_for_time() -> None:
    kept, again = deep(False), deep(True)
    arrays = sample_inputs(kept)
    first, second = ml.compile(kept), ml.compile(again)
    for want, have in zip(first(*arrays), second(*arrays), strict=True):
        np.testing.assert_array_equal(have, want)
    # Of twelve layers' values four are there at a time, and the inputs of three blocks.
    assert second.memory.arena_bytes < 0.5 * first.memory.arena_bytes
    assert counts_of(again)["matmul"] == counts_of(kept)["matmul"] + LAYERS


def test_what_is_around_a_function_is_computed_once() -> None:
    @ml.function(f32[4, 4], f32[4, 4])
    def fn(x: Value, w: Value) -> Value:
        weights = ml.exp(w)
        return ml.checkpoint(lambda x: ml.sin(ml.cos(x @ weights)))(x).sum()

    counts = counts_of(ml.grad(fn, "x"))
    # The sine is needed for the value only, which is not asked for.
    assert (counts["exp"], counts["matmul"], counts["sin"]) == (1, 2, 1)


def test_images_stay_channels_last_behind_barriers() -> None:
    def net(checkpointed: bool) -> Function:
        @ml.function(f32[2, 8, 9, 9], f32[8, 8, 3, 3])
        def loss(x: Value, w: Value) -> Value:
            def block(x: Value) -> Value:
                return ml.relu(ml.conv2d(ml.relu(ml.conv2d(x, w, None, 1, 1)), w, None, 1, 1))

            run = ml.checkpoint(block) if checkpointed else block
            return ml.square(run(run(x))).sum()

        return ml.grad(loss)

    def turned(fn: Function) -> int:
        """How often an image is transposed; the filters' axes are others."""
        operations = [op for op in operations_of(fn) if isinstance(op, Transpose)]
        return sum(op.x.rank == 4 and op.x.shape[0] == 2 for op in operations)

    assert turned(net(True)) == turned(net(False)) == 2
    arrays = sample_inputs(net(False))
    wanted, found = ml.evaluate(net(False), *arrays), ml.evaluate(net(True), *arrays)
    for want, have in zip(wanted, found, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-4)


def test_a_step_of_a_loop_is_computed_again() -> None:
    """What the loop back reads is the states, not what is inside of a step."""

    def net(checkpointed: bool) -> Function:
        @ml.function(f32[50, 16, 8], f32[16, 8], f32[8, 8])
        def loss(xs: Value, h: Value, w: Value) -> Value:
            def inner(h: Value, x: Value) -> Value:
                for _ in range(4):
                    h = ml.tanh(ml.sin(h @ w + x))
                return h

            def step(h: Value, x: Value) -> tuple[Value, None]:
                return (ml.checkpoint(inner) if checkpointed else inner)(h, x), None

            last, _ = ml.scan(step, h, xs)
            return ml.square(last).sum()

        return ml.grad(loss)

    kept, again = ml.compile(net(False)), ml.compile(net(True))
    arrays = sample_inputs(net(False))
    for want, have in zip(kept(*arrays), again(*arrays), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
    assert again.memory.arena_bytes < 0.5 * kept.memory.arena_bytes


def test_structures_go_in_and_out() -> None:
    @ml.function(f32[3], f32[3])
    def fn(x: Value, y: Value) -> tuple[Value, Value]:
        def swapped(pair: dict[str, Value]) -> dict[str, Value]:
            return {"x": pair["y"] * 2, "y": pair["x"]}

        found = ml.checkpoint(swapped)({"x": x, "y": y})
        return found["x"], found["y"]

    x, y = ml.evaluate(fn, np.ones(3, "f4"), np.full(3, 5, "f4"))
    np.testing.assert_array_equal(x, [10, 10, 10])
    np.testing.assert_array_equal(y, [1, 1, 1])


def test_a_module_is_checkpointed_with_its_weights() -> None:
    class Net(nn.Module):
        layer: nn.Linear

        def forward(self, x: Value) -> Value:
            return ml.checkpoint(self.layer)(x).sum()

    fn = ml.function(Net(nn.Linear(3, 2)), f32[5, 3])
    (node,) = [node for node in fn.nodes if node.op.name == "checkpoint"]
    assert [value.name for value in node.op.operands] == ["x", "layer.weight", "layer.bias"]
    gradients = ml.evaluate(ml.grad(fn, "layer.bias"), *sample_inputs(fn))
    np.testing.assert_array_equal(gradients, [5, 5])


def test_arguments_stand_by_position() -> None:
    with pytest.raises(TypeRuleError, match="takes its values by position"):
        ml.function(f32[3])(lambda x: ml.checkpoint(lambda x: x)(x=x))
