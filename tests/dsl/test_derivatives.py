"""`grad`, `value_and_grad`, `vjp`, `jvp` of whole functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, InputError, TensorType, Value, f32, f64, i64
from mlir_lite.passes.fusion.fuse import fuse
from mlir_lite.types import Array


def trace(*types: TensorType) -> Callable[[Callable[..., object]], Function]:
    return ml.function(*types)


@ml.function(f64[5, 7], f64[7, 3], f64[3], f64[5, 3])
def loss(x: Value, w: Value, b: Value, target: Value) -> Value:
    return ml.square(ml.tanh(x @ w + b) - target).mean()


def arrays_for(fn: Function, seed: int = 0) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(param.type.static_shape) for param in fn.params]


def results(fn: Function, *arrays: Array) -> tuple[Array, ...]:
    found = ml.evaluate(fn, *arrays)
    return found if isinstance(found, tuple) else (found,)


def assert_close(found: Sequence[Array], wanted: Sequence[Array]) -> None:
    """Equal but for the order of a few operations in f64."""
    for have, want in zip(found, wanted, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-14)


def slope(fn: Function, arrays: list[Array], ways: list[Array], step: float = 1e-5) -> list[Array]:
    """The central difference of each result along these ways."""
    ahead = results(fn, *(x + step * way for x, way in zip(arrays, ways, strict=True)))
    behind = results(fn, *(x - step * way for x, way in zip(arrays, ways, strict=True)))
    return [(after - before) / (2 * step) for after, before in zip(ahead, behind, strict=True)]


def assert_is_slope(found: object, wanted: object) -> None:
    # A central difference with steps of 1e-5 is off by 1e-10 and rounding over the step.
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-6, atol=1e-8)


def test_gradients_are_the_slope() -> None:
    arrays, ways = arrays_for(loss), arrays_for(loss, 1)
    gradients = results(ml.grad(loss), *arrays)
    total = sum(float(np.sum(g * way)) for g, way in zip(gradients, ways, strict=True))
    assert_is_slope(total, slope(loss, arrays, ways)[0])


def test_gradients_stand_in_the_order_of_wrt() -> None:
    arrays = arrays_for(loss)
    x, w, b, _ = results(ml.grad(loss), *arrays)
    assert_close(results(ml.grad(loss, wrt=("b", "x")), *arrays), [b, x])
    assert_close(results(ml.grad(loss, wrt="w"), *arrays), [w])


def test_the_value_comes_first() -> None:
    arrays = arrays_for(loss)
    both = results(ml.value_and_grad(loss, wrt="b"), *arrays)
    assert_close(both, [*results(loss, *arrays), *results(ml.grad(loss, wrt="b"), *arrays)])


def test_further_results_are_given_and_not_differentiated() -> None:
    @trace(f64[3], i64[3])
    def fn(x: Value, labels: Value) -> tuple[Value, Value, Value]:
        return ml.square(x).sum(), ml.exp(x), labels + 1

    x, labels = np.array([1.0, -2.0, 3.0]), np.array([1, 2, 3])
    found = results(ml.value_and_grad(fn), x, labels)
    assert_close(found, [np.array(14.0), np.exp(x), labels + 1, 2 * x])


def test_the_parameters_are_those_of_the_function() -> None:
    for made in (ml.grad(loss), ml.value_and_grad(loss, "w")):
        assert [param.name for param in made.params] == ["x", "w", "b", "target"]
        assert [param.type for param in made.params] == [param.type for param in loss.params]


def test_what_is_not_used_has_a_zero_gradient() -> None:
    @trace(f64[3], f64[2, 2])
    def fn(x: Value, unused: Value) -> Value:
        return x.sum()

    found = results(ml.grad(fn), np.ones(3), np.ones((2, 2)))
    assert_close(found, [np.ones(3), np.zeros((2, 2))])


def test_integers_carry_no_gradient() -> None:
    @trace(f64[3])
    def fn(x: Value) -> Value:
        return (x.astype(i64).astype(f64) * x).sum()

    x = np.array([1.5, -2.25, 3.0])
    assert_close(results(ml.grad(fn), x), [np.trunc(x)])


def test_what_arrives_on_several_ways_is_added() -> None:
    @trace(f64[4])
    def inner(x: Value) -> Value:
        return (x * x).sum()

    @trace(f64[4], f64[4])
    def both(x: Value, y: Value) -> Value:
        return (x * y).sum()

    x = np.arange(4.0)
    assert_close(results(ml.grad(inner), x), [2 * x])
    fn = trace(f64[4])(lambda x: both(x, x))
    assert_close(results(ml.grad(fn), x), [2 * x])


def summed(fn: Function) -> Function:
    """The sum of a function's one result."""

    @trace(*(param.type for param in fn.params))
    def total(x: Value) -> Value:
        y = fn(x)
        assert isinstance(y, Value)
        return y.sum()

    return total


def test_a_derivative_has_derivatives() -> None:
    @trace(f64[3])
    def cube(x: Value) -> Value:
        return (x * x * x).sum()

    second = ml.grad(summed(ml.grad(cube)))
    third = ml.grad(summed(second))
    x = np.array([0.5, -1.0, 2.0])
    assert_close(results(second, x), [6 * x])
    assert_close(results(third, x), [np.full(3, 6.0)])


def test_vjp_is_the_transpose_of_jvp() -> None:
    @trace(f64[4, 3], f64[3, 5])
    def fn(x: Value, w: Value) -> tuple[Value, Value]:
        y = ml.sigmoid(x @ w)
        return y, ml.softmax(y).sum(0)

    arrays = arrays_for(fn)
    ways = arrays_for(fn, 1)
    random = np.random.default_rng(2)
    weights = [random.standard_normal(type_.static_shape) for type_ in fn.result_types]
    forward = results(ml.jvp(fn), *arrays, *ways)
    back = results(ml.vjp(fn), *arrays, *weights)
    assert_close(forward[:2], results(fn, *arrays))
    assert_close(back[:2], results(fn, *arrays))
    for tangent, wanted in zip(forward[2:], slope(fn, arrays, ways), strict=True):
        assert_is_slope(tangent, wanted)
    along = sum(float(np.sum(t * u)) for t, u in zip(forward[2:], weights, strict=True))
    across = sum(float(np.sum(g * way)) for g, way in zip(back[2:], ways, strict=True))
    assert along == pytest.approx(across, rel=1e-12)


def test_parameters_of_vjp_and_jvp_have_names_of_their_own() -> None:
    @trace(f64[2], f64[2])
    def fn(x: Value, cotangent: Value) -> Value:
        return x * cotangent

    names = [param.name for param in ml.vjp(fn, "x").params]
    assert names == ["x", "cotangent", "cotangent_"]
    names = [param.name for param in ml.jvp(fn, "x").params]
    assert names == ["x", "cotangent", "x_tangent"]


def test_sizes_may_stay_open() -> None:
    @trace(f64["batch", 4], f64[4, "out"], f64["out"])
    def fn(x: Value, w: Value, b: Value) -> Value:
        return ml.log_softmax(ml.relu(x @ w + b)).mean()

    sizes = {"batch": 3, "out": 5}
    open_, closed = ml.value_and_grad(fn), ml.value_and_grad(ml.specialise(fn, sizes))
    arrays = arrays_for(closed)
    assert_close(results(ml.specialise(open_, sizes), *arrays), results(closed, *arrays))


def test_the_batch_of_images_may_stay_open() -> None:
    @trace(f64["batch", 3, 9, 9], f64[4, 3, 3, 3], f64[4], f64[4, 5], i64["batch"])
    def fn(x: Value, w: Value, b: Value, v: Value, labels: Value) -> Value:
        y = ml.max_pool(ml.relu(ml.conv2d(x, w, b, padding=1)), 2)
        y = ml.average_pool(y, 3, strides=2, padding=1, count_include_pad=False)
        return ml.cross_entropy(ml.layer_norm(y.mean((2, 3))) @ v, labels)

    sizes = {"batch": 3}
    closed = ml.value_and_grad(ml.specialise(fn, sizes))
    labels = np.array([0, 4, 2])
    arrays = [*arrays_for(Function("f", closed.params[:-1], (), ())), labels]
    open_ = ml.specialise(ml.value_and_grad(fn), sizes)
    assert_close(results(open_, *arrays), results(closed, *arrays))


def test_forward_mode_goes_through_loops() -> None:
    @trace(f64[6, 3], f64[3], f64[3, 3])
    def fn(xs: Value, h: Value, w: Value) -> Value:
        def step(h: Value, x: Value) -> tuple[Value, Value]:
            h = ml.tanh(h @ w + x)
            return h, h

        return ml.square(ml.scan(step, h, xs)[1]).sum()

    arrays, ways = arrays_for(fn), arrays_for(fn, 1)
    (_, tangent), (wanted,) = results(ml.jvp(fn), *arrays, *ways), slope(fn, arrays, ways)
    assert_is_slope(tangent, wanted)


def test_groups_are_opened() -> None:
    grouped = fuse(loss)
    assert any(node.op.name == "group" for node in grouped.nodes)
    arrays = arrays_for(loss)
    assert_close(results(ml.grad(grouped), *arrays), results(ml.grad(loss), *arrays))


def test_gradients_keep_the_lines_of_what_they_are_of() -> None:
    known = {node.location for node in loss.nodes}
    made = ml.value_and_grad(loss)
    assert {node.location for node in made.nodes} == known
    (product,) = [node for node in loss.nodes if node.op.name == "matmul"]
    products = [node for node in made.nodes if node.op.name == "matmul"]
    assert len(products) == 3
    assert {node.location for node in products} == {product.location}


def test_mistakes_are_said() -> None:
    fn = trace(f32[3], i64[3])(lambda x, labels: x.sum())
    with pytest.raises(InputError, match="@lambda has no parameter 'y'"):
        ml.grad(fn, wrt=("x", "y"))
    with pytest.raises(InputError, match=r"'labels' .* only floats have gradients"):
        ml.grad(fn, wrt="labels")
    with pytest.raises(InputError, match="with respect to nothing"):
        ml.grad(fn, wrt=())
    with pytest.raises(InputError, match=r"a scalar .*, not tensor<3xf32>; take its sum\(\)"):
        ml.grad(trace(f32[3])(lambda x: x))
    with pytest.raises(InputError, match="has no parameters of floats"):
        ml.vjp(trace(i64[3])(lambda labels: labels))
