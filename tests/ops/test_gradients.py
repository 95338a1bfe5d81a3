"""Each operation's derivatives against finite differences of its `reference`, in f64.

An operation has the gradient that its class says, or that of its decomposition. Reverse mode,
forward mode and the derivative of the gradient are each tested along one random direction of all
operands of floats at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function
from mlir_lite.errors import UnsupportedError
from mlir_lite.ir import Builder, Op, parameter, result_types, run_reference
from mlir_lite.ops.reductions.reduce import Max
from mlir_lite.ops.regions.control import OPS as CONTROL
from mlir_lite.ops.shapes.scatter import ScatterElements
from mlir_lite.ops.shapes.slice import Pad
from mlir_lite.ops.table import TABLE
from mlir_lite.ops.windows.pool import MaxPool
from mlir_lite.types import Array, f64

from .sample import Argument, Sample, value_like
from .samples import SAMPLES

# What comes of passes that run later, where nothing is differentiated any more; and steps of a
# solver that is run to its end.
_LOWERED = {
    "ragged_ridge",
    *("group", "blocked_attention", "blocked_attention_gradient"),
    *("winograd_filter", "winograd_input", "winograd_output"),
    *("strassen_input", "strassen_panels", "strassen_matmul"),
    *("winograd_conv", "pack_columns", "panel_matmul", "pack_filters", "panel_conv", "lu_solve"),
    *("dot_matmul", "dot_conv", "pack_dots", "pack_dot_filters", "tf32", "tf32_cut"),
    *("cholesky_factor", "eigh_factor", "lu_factor", "qr_factor", "svd_factor", "substitution"),
}
# What says that its gradient is none.
_NOT_THAT_OF_ITS_VALUES = {"stop_gradient"}


def _has_gradient(op: Op) -> bool:
    return op.has("gradient") or op.has("decompose")


def _exact(argument: Argument) -> Argument:
    """Floats in f64."""
    if isinstance(argument, tuple):
        return tuple(map(_exact_array, argument))
    return None if argument is None else _exact_array(argument)


def _exact_array(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


_SMOOTH = [
    replace(sample, arguments=tuple(map(_exact, sample.arguments)))
    for sample in SAMPLES
    if sample.smooth and _has_gradient(sample.op)
]


def test_every_gradient_has_a_smooth_sample() -> None:
    """Control flow has tests of its own, in tests/dsl/test_control_gradients.py."""
    smooth = {sample.op.name for sample in _SMOOTH} | {cls.name for cls in CONTROL}
    classes = TABLE.classes.items()
    derived = {name for name, cls in classes if cls.has("gradient") or cls.has("decompose")}
    assert derived - smooth - _LOWERED - _NOT_THAT_OF_ITS_VALUES == set()


def test_only_lowered_operations_have_no_gradient() -> None:
    without = {
        sample.op.name
        for sample in SAMPLES
        if not _has_gradient(sample.op)
        and any(operand.dtype.is_float for operand in sample.op.operands)
        and any(type_.dtype.is_float for type_ in result_types(sample.op))
    }
    assert without <= _LOWERED


def function_of(op: Op) -> Function:
    """An operation's results that are floats, as a function of its operands."""
    builder = Builder(TABLE)
    with builder.active():
        results = [result for result in builder.emit(op) if result.dtype.is_float]
    return builder.finish(op.name, tuple(dict.fromkeys(op.operands)), results)


class Slope:
    """A function at a point, and what becomes of it along a random direction from there."""

    def __init__(self, fn: Function, arrays: Sequence[Array], seed: int = 0) -> None:
        self.fn, self.arrays = fn, tuple(arrays)
        random = np.random.default_rng(seed)
        self.ways = [
            random.standard_normal(array.shape) if array.dtype == np.float64 else None
            for array in self.arrays
        ]
        self.weights = [random.standard_normal(type_.static_shape) for type_ in fn.result_types]

    @property
    def moving(self) -> list[Array]:
        return [way for way in self.ways if way is not None]

    def at(self, step: float) -> float:
        """The weighted sum of all results after a step."""
        moved = [
            array if way is None else array + step * way
            for array, way in zip(self.arrays, self.ways, strict=True)
        ]
        results = run_reference(self.fn, moved)
        return sum(float(np.sum(y * w)) for y, w in zip(results, self.weights, strict=True))

    def difference(self, step: float = 1e-5) -> float:
        return (self.at(step) - self.at(-step)) / (2 * step)

    def reverse(self) -> float:
        """By the gradients."""
        fn = ml.vjp(self.fn)
        found = run_reference(fn, [*self.arrays, *self.weights])[len(self.weights) :]
        return sum(float(np.sum(g * way)) for g, way in zip(found, self.moving, strict=True))

    def forward(self) -> float:
        """By the tangents."""
        fn = ml.jvp(self.fn)
        found = run_reference(fn, [*self.arrays, *self.moving])[len(self.weights) :]
        return sum(float(np.sum(t * w)) for t, w in zip(found, self.weights, strict=True))


def assert_is_slope(found: float, wanted: float) -> None:
    # The error of a central difference: its third derivative times step², and rounding over step.
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sample", _SMOOTH, ids=str)
def test_gradients_are_the_finite_difference(sample: Sample) -> None:
    slope = Slope(function_of(sample.op), sample.arrays)
    wanted = slope.difference()
    assert_is_slope(slope.reverse(), wanted)
    assert_is_slope(slope.forward(), wanted)


@pytest.mark.parametrize("sample", _SMOOTH, ids=str)
def test_gradients_of_gradients_are_the_finite_difference(sample: Sample) -> None:
    fn = function_of(sample.op)
    given = len(fn.results)
    back = ml.vjp(fn)
    gradients = Function("back", back.params, back.nodes, back.results[given:])
    weights = Slope(fn, sample.arrays).weights
    slope = Slope(gradients, [*sample.arrays, *weights], seed=1)
    assert_is_slope(slope.reverse(), slope.difference())


def gradient_of(op: Op, arrays: Sequence[Array], dy: Array) -> Array:
    """The gradient of an operation of one operand and one result."""
    return run_reference(ml.vjp(function_of(op)), [*arrays, dy])[1]


def test_the_gradient_of_a_maximum_is_shared_by_equals() -> None:
    array = np.array([3.0, 1.0, 3.0, 2.0])
    found = gradient_of(Max(value_like("x", array), (0,)), (array,), np.array(8.0))
    np.testing.assert_array_equal(found, [4, 0, 4, 0])


def test_a_product_with_zeros_has_gradients() -> None:
    """Of one zero: the product of the others at it, else 0; of two: 0."""
    places = np.array([0, 0, 1, 1, 2])
    x, updates = np.array([3.0, 0.0, 4.0]), np.array([0.0, 2.0, 0.0, 5.0, 7.0])
    op = ScatterElements(
        value_like("x", x), value_like("i", places), value_like("u", updates), 0, "mul"
    )
    dy = np.array([1.0, 10.0, 100.0])
    _, dx, du = run_reference(ml.vjp(function_of(op)), [x, places, updates, dy])
    np.testing.assert_array_equal(dx, [0, 0, 700])
    np.testing.assert_array_equal(du, [6, 0, 0, 0, 400])


def test_the_gradient_of_a_maximum_pool_is_that_of_the_first() -> None:
    x = np.array([[[1.0, 3.0, 3.0, 2.0]]])
    op = MaxPool(value_like("x", x), (3,), (1,), ((0, 0),), (1,))
    found = gradient_of(op, (x,), np.array([[[1.0, 10.0]]]))
    np.testing.assert_array_equal(found, [[[0, 11, 0, 0]]])


def test_a_missing_gradient_is_said() -> None:
    x = parameter("x", f64["n"])
    fn = function_of(Pad(x, (1,), (1,), "edge"))
    with pytest.raises(UnsupportedError, match="the gradient of padding in mode 'edge' of named"):
        ml.vjp(fn)
