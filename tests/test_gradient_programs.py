"""Gradients of whole nets: as machine code, and how much work they are."""

from __future__ import annotations

from collections import Counter

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.cli.counting import matrix_flops
from mlir_lite.ir import run_reference
from mlir_lite.passes.manager import difference, run_passes, sample_inputs
from mlir_lite.passes.pipelines import preparing_steps
from mlir_lite.target import Target

BATCH = 6


@ml.function(f32[BATCH, 33], f32[33, 40], f32[40], f32[40, 10], f32[10], i64[BATCH])
def mlp(x: Value, w: Value, b: Value, v: Value, c: Value, labels: Value) -> Value:
    return ml.cross_entropy(ml.relu(x @ w + b) @ v + c, labels)


@ml.function(
    f32[BATCH, 3, 15, 14],
    f32[8, 3, 3, 3],
    f32[8],
    f32[16, 8, 3, 3],
    f32[16],
    f32[16, 1, 3, 3],
    f32[16, 5],
    i64[BATCH],
)
def images(
    x: Value, first: Value, b: Value, second: Value, c: Value, deep: Value, v: Value, labels: Value
) -> Value:
    y = ml.max_pool(ml.relu(ml.conv2d(x, first, b, padding=1)), 3, strides=2, padding=1)
    y = ml.average_pool(ml.gelu(ml.conv2d(y, second, c, stride=2, padding=1)), 2)
    y = ml.conv2d(ml.group_norm(y, 4), deep, padding=1, groups=16)
    return ml.cross_entropy(ml.global_average_pool(y).reshape(BATCH, 16) @ v, labels)


SEEN, WIDTH, HEADS = 20, 32, 4


@ml.function(
    f32[2, SEEN, WIDTH],
    f32[WIDTH, 3 * WIDTH],
    f32[WIDTH, WIDTH],
    f32[WIDTH],
    f32[WIDTH],
    f32[WIDTH, 4 * WIDTH],
    f32[4 * WIDTH, WIDTH],
)
def block(
    x: Value, mixed: Value, out: Value, scale: Value, bias: Value, up: Value, down: Value
) -> Value:
    """A transformer's block with causal attention."""
    h = ml.layer_norm(x, scale, bias) @ mixed
    heads = h.reshape(2, SEEN, 3, HEADS, WIDTH // HEADS).transpose(2, 0, 3, 1, 4)
    seen = ml.attention(heads[0], heads[1], heads[2], causal=True)
    x = x + seen.transpose(0, 2, 1, 3).reshape(2, SEEN, WIDTH) @ out
    return ml.square(x + ml.gelu(ml.layer_norm(x, scale, bias) @ up) @ down).mean()


NETS = pytest.mark.parametrize("net", [mlp, images, block], ids=lambda net: net.name)


@NETS
def test_machine_code_gives_the_gradients(net: Function) -> None:
    fn = ml.value_and_grad(net)
    arrays = sample_inputs(fn)
    found = ml.compile(fn)(*arrays)
    for want, have in zip(run_reference(fn, arrays), found, strict=True):
        error, allowed = difference(want, have)
        assert error <= allowed


@NETS
def test_a_gradient_is_at_most_twice_the_work_of_the_value(net: Function) -> None:
    """After all that passes find to share. An image's own gradient is not asked for."""
    names = [param.name for param in net.params if param.name not in ("x", "labels")]
    target, _ = cpu_target("cpu", 1)
    both = run_passes(ml.value_and_grad(net, names), preparing_steps(target))
    assert matrix_flops(both) <= 3 * matrix_flops(net)


@pytest.mark.parametrize(("seen", "products", "blocks"), [(64, 6, 0), (4096, 5, 1)])
def test_scores_are_shared_while_they_fit_into_the_caches(
    seen: int, products: int, blocks: int
) -> None:
    type_ = f32[1, seen, 32]
    attend = ml.function(type_, type_, type_)(lambda q, k, v: ml.attention(q, k, v))
    made = run_passes(ml.vjp(attend), preparing_steps(Target("cpu")))
    names = Counter(node.op.name for node in made.nodes)
    assert (names["matmul"], names["blocked_attention"]) == (products, blocks)
