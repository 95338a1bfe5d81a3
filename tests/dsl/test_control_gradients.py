"""Gradients of loops and branches against finite differences, in f64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f64
from mlir_lite.ir import Builder
from mlir_lite.ops.regions.control import Scan
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array


@ml.function(f64[5, 2, 3], f64[2, 4], f64[3, 4], f64[4, 4])
def rnn(xs: Value, h: Value, w: Value, u: Value) -> Value:
    def step(h: Value, x: Value) -> tuple[Value, Value]:
        h = ml.tanh(x @ w + h @ u)
        return h, h * h

    last, ys = ml.scan(step, h, xs)
    return (last * last * last).sum() + ml.sin(ys).sum()


@ml.function(f64[5, 3], f64[3])
def backwards(xs: Value, s: Value) -> Value:
    """The state counts in integers too, and the last output is left out."""

    def step(state: tuple[Value, Value], x: Value) -> tuple[tuple[Value, Value], Value]:
        s, count = state
        return (ml.sin(s) * x, count + 1), s * count.astype(f64)

    (s, count), ys = ml.scan(step, (s, ml.full((), 0, ml.i64)), xs, reverse=True)
    return (s * count.astype(f64)).sum() + ml.square(ys[1:]).sum()


@ml.function(f64[3], f64[3])
def powers(x: Value, w: Value) -> Value:
    return ml.scan(lambda s, _: (s * w + ml.exp(-s), None), x, length=4)[0].sum()


@ml.function(f64[4, 3, 2], f64[2])
def nested(xs: Value, s: Value) -> Value:
    """A scan over columns in a scan over rows."""

    def row(s: Value, x: Value) -> tuple[Value, Value]:
        s, inner = ml.scan(lambda t, y: (ml.tanh(t * y) + y, t), s, x)
        return s, inner.sum()

    last, sums = ml.scan(row, s, xs)
    return last.sum() + ml.square(sums).sum()


@ml.function(f64[6, 2], f64[2])
def branches(xs: Value, s: Value) -> Value:
    """A branch in a scan; one reads what the other does not."""

    def step(s: Value, x: Value) -> tuple[Value, Value]:
        s = ml.cond(x.sum() > 0.0, lambda: ml.sin(s) * x, lambda: s * s)
        return s, s

    last, ys = ml.scan(step, s, xs)
    return last.sum() + ml.exp(ys).sum()


@ml.function(f64[3], f64[3])
def doubling(x: Value, w: Value) -> Value:
    """Six steps of the ten that are allowed, for the arrays below."""
    size = ml.sum(ml.zeros((3,), f64))

    def step(state: tuple[Value, Value]) -> tuple[Value, Value]:
        count, y = state
        return count + 1.0, ml.tanh(y * w) + x

    count, y = ml.while_loop(lambda state: state[0] < 6.0, step, (size, x), limit=10)
    return ml.square(y).sum() + count


FUNCTIONS = [rnn, backwards, powers, nested, branches, doubling]


def arrays_for(fn: Function, seed: int) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(param.type.static_shape) for param in fn.params]


def results(fn: Function, arrays: Sequence[Array]) -> list[Array]:
    found = ml.evaluate(fn, *arrays)
    return [np.asarray(part) for part in (found if isinstance(found, tuple) else (found,))]


def moved(arrays: Sequence[Array], ways: Sequence[Array], step: float) -> list[Array]:
    return [array + step * way for array, way in zip(arrays, ways, strict=True)]


def dot(gradients: Sequence[Array], ways: Sequence[Array]) -> float:
    return sum(float(np.sum(g * way)) for g, way in zip(gradients, ways, strict=True))


@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: fn.name)
def test_gradient_is_the_slope(fn: Function) -> None:
    arrays, ways = arrays_for(fn, 0), arrays_for(fn, 1)
    slope = dot(results(ml.grad(fn), arrays), ways)
    step = 1e-5
    ahead, behind = (results(fn, moved(arrays, ways, way))[0] for way in (step, -step))
    # A central difference is off by step² and rounding over the step.
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: fn.name)
def test_gradient_of_the_gradient_is_its_slope(fn: Function) -> None:
    arrays, ways = arrays_for(fn, 0), arrays_for(fn, 1)
    along = arrays_for(fn, 2)

    @ml.function(*(param.type for param in fn.params))
    def first(*params: Value) -> Value:
        found = ml.grad(fn)(*params)
        parts = found if isinstance(found, tuple) else (found,)
        total = ml.zeros((), f64)
        for part, way in zip(parts, along, strict=True):
            total = total + (part * way).sum()
        return total

    slope = dot(results(ml.grad(first), arrays), ways)
    step = 1e-5
    ahead, behind = (results(first, moved(arrays, ways, way))[0] for way in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)


def scans(fn: Function) -> list[Scan]:
    return [node.op for node in fn.nodes if isinstance(node.op, Scan)]


def products(fn: Function) -> int:
    return sum(node.op.name == "matmul" for node in fn.nodes)


def test_the_step_back_computes_no_product_of_the_step_again() -> None:
    """Two products forward, and for each of them two back."""
    forward, back = scans(ml.value_and_grad(rnn))
    assert products(forward.step) == 2
    assert products(back.step) == 4


def test_a_lost_residual_is_computed_by_running_the_scan_again() -> None:
    """`gradient` of a scan that was not emitted as `saving` says."""
    (scan,) = scans(rnn)
    builder = Builder(TABLE)
    with builder.active():
        values = builder.emit(scan)
        carries, inputs, invariants = scan.gradient(*values, values[0], None)
    found = [value for value in (*carries, *inputs, *invariants) if value is not None]
    again = builder.finish("again", scan.operands, (values[0], *found))

    @ml.function(*(value.type for value in scan.operands))
    def last_state(h: Value, xs: Value, w: Value, u: Value) -> Value:
        return ml.scan(lambda s, x: (ml.tanh(x @ w + s @ u), None), h, xs)[0]

    xs, h, w, u = arrays_for(rnn, 0)
    last, *gradients = results(again, [h, xs, w, u])
    wanted = results(ml.vjp(last_state), [h, xs, w, u, last])
    for have, want in zip([last, *gradients], wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_a_loop_without_a_limit_says_that_it_needs_one() -> None:
    @ml.function(f64[3])
    def endless(x: Value) -> Value:
        return ml.while_loop(lambda s: s.sum() < 9.0, lambda s: s + s, x).sum()

    with pytest.raises(ml.UnsupportedError, match=r"test_control_gradients.py.*limit=100"):
        ml.grad(endless)
