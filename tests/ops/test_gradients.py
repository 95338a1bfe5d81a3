"""Each operation's `gradient` against finite differences of its `reference`, in f64."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.errors import UnsupportedError
from mlir_lite.ir import Builder, Op, Value, parameter, result_types, results_of, run_reference
from mlir_lite.ops.control import OPS as CONTROL
from mlir_lite.ops.reduce import Max
from mlir_lite.ops.slice import Pad
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array, f64

from .sample import Sample, value_like
from .samples import SAMPLES

_SMOOTH = [sample for sample in SAMPLES if sample.smooth and type(sample.op).has("gradient")]


def test_every_gradient_has_a_smooth_sample() -> None:
    """Control flow has tests of its own, in tests/dsl/test_control_gradients.py."""
    sampled = {sample.op.name for sample in _SMOOTH} | {cls.name for cls in CONTROL}
    assert {name for name, cls in TABLE.classes.items() if cls.has("gradient")} - sampled == set()


@pytest.mark.parametrize("sample", _SMOOTH, ids=str)
def test_gradient_is_the_finite_difference(sample: Sample) -> None:
    """Along one random direction of all operands of type f64 at once."""
    op = sample.op
    random = np.random.default_rng(0)
    weights = [random.standard_normal(type_.static_shape) for type_ in result_types(op)]
    ways = [
        random.standard_normal(array.shape) if array.dtype == np.float64 else None
        for array in sample.arrays
    ]
    slope = sum(
        float(np.sum(gradient * way))
        for gradient, way in zip(gradients_of(op, sample.arrays, *weights), ways, strict=True)
        if gradient is not None and way is not None
    )

    def loss(step: float) -> float:
        moved = [
            array if way is None else array + step * way
            for array, way in zip(sample.arrays, ways, strict=True)
        ]
        values = dict(zip(op.operands, moved, strict=True))
        results = results_of(op.reference(*op.arguments(values)))
        return sum(float(np.sum(y * dy)) for y, dy in zip(results, weights, strict=True))

    step = 1e-5
    difference = (loss(step) - loss(-step)) / (2 * step)
    # The error of a central difference: its third derivative times step², and rounding over step.
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-7)


def gradients_of(op: Op, arrays: tuple[Array, ...], *dy: Array) -> list[Array | None]:
    """The gradient of each operand; None for one that has none, which counts as 0."""
    params = [value_like(f"dy{place}", array) for place, array in enumerate(dy)]
    builder = Builder(TABLE)
    with builder.active():
        gradients = _flat(op.gradient(*builder.emit(op), *params))
    for value, gradient in zip(op.operands, gradients, strict=True):
        assert gradient is None or gradient.type == value.type
    results = [gradient for gradient in gradients if gradient is not None]
    fn = builder.finish("gradient", (*op.operands, *params), results)
    found = iter(run_reference(fn, (*arrays, *dy)))
    return [None if gradient is None else next(found) for gradient in gradients]


def _flat(gradients: tuple[Value | tuple[Value, ...] | None, ...]) -> list[Value | None]:
    """Per operand: those of a tuple operand stand in a tuple."""
    found: list[Value | None] = []
    for entry in gradients:
        found.extend(entry if isinstance(entry, tuple) else (entry,))
    return found


def test_the_gradient_of_a_maximum_is_shared_by_equals() -> None:
    array = np.array([3.0, 1.0, 3.0, 2.0])
    (found,) = gradients_of(Max(value_like("x", array), (0,)), (array,), np.array(8.0))
    np.testing.assert_array_equal(found, [4, 0, 4, 0])


def test_a_missing_gradient_is_said() -> None:
    op = Pad(parameter("x", f64[3]), (1,), (1,), "edge")
    with pytest.raises(UnsupportedError, match="the gradient of padding in mode 'edge'"):
        gradients_of(op, (np.zeros(3),), np.zeros(5))
