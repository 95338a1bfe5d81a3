"""Deformable convolutions: without offsets the plain ones, with whole ones pixels further on."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f64, ops
from mlir_lite.errors import TypeRuleError
from mlir_lite.ir import run_reference

from ..sample import normal, value_like
from ..traced import run, trace, type_of

_X, _WEIGHT, _BIAS = normal((2, 4, 8, 7), f64), normal((6, 2, 3, 2), f64), normal((6,), f64)
_OFFSET, _MASK = normal((2, 2 * 6 * 2, 8, 5), f64), normal((2, 2 * 6, 8, 5), f64)


def _deformed(x: Value, weight: Value, offset: Value, mask: Value, bias: Value) -> Value:
    return ops.deform_conv(
        x, weight, offset, mask, bias, padding=(1, 0), dilations=(1, 2), groups=2
    )


def _plain(x: Value, weight: Value, bias: Value) -> Value:
    return ops.conv(x, weight, bias, padding=(1, 0), dilations=(1, 2), groups=2)


def test_without_offsets_it_is_a_convolution() -> None:
    found = run(_deformed, _X, _WEIGHT, 0 * _OFFSET, np.ones_like(_MASK), _BIAS)
    np.testing.assert_allclose(found, run(_plain, _X, _WEIGHT, _BIAS), rtol=1e-13, atol=1e-13)


def test_whole_offsets_read_pixels_further_on() -> None:
    moves = np.broadcast_to(np.array([2.0, -1.0] * 12)[None, :, None, None], _OFFSET.shape)
    further = np.zeros_like(_X)
    further[:, :, :-2, 1:] = _X[:, :, 2:, :-1]
    # Where the convolution reads no padding, all pixels it reads are there in both.
    inside = np.s_[:, :, 1:5]
    mask = np.ones_like(_MASK)
    found = run(_deformed, _X, _WEIGHT, moves.copy(), mask, _BIAS)[inside]
    wanted = run(_plain, further, _WEIGHT, _BIAS)[inside]
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)


def test_its_gradients_are_those_of_differences() -> None:
    arrays = [_X, _WEIGHT, _OFFSET, _MASK, _BIAS]
    fn = trace(_deformed, *(value_like(f"x{k}", array) for k, array in enumerate(arrays)))
    weights = normal((2, 6, 8, 5), f64)
    _, *gradients = run_reference(ml.vjp(fn), [*arrays, weights])
    directions = [normal(array.shape, f64) for array in arrays]
    step = 1e-7  # so that hardly a place crosses a pixel

    def total(scale: float) -> float:
        moved = [a + scale * d for a, d in zip(arrays, directions, strict=True)]
        return float(np.sum(run_reference(fn, moved)[0] * weights))

    wanted = (total(step) - total(-step)) / (2 * step)
    found = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_compiled_one_is_the_same() -> None:
    arrays = [_X, _WEIGHT, _OFFSET, _MASK, _BIAS]
    types = [value_like("x", array).type for array in arrays]
    found = ml.compile(ml.function(*types)(_deformed))(*arrays)
    np.testing.assert_allclose(found, run(_deformed, *arrays), rtol=1e-13, atol=1e-13)


def test_offsets_that_do_not_fit_are_told() -> None:
    arrays = [_X, _WEIGHT, _OFFSET[..., :4], _MASK, _BIAS]
    types = [value_like("x", array).type for array in arrays]
    expected = r"expected \(batch, groups \* 12, outputs\) = \(2, …, 8, 5\)"
    with pytest.raises(TypeRuleError, match=expected):
        type_of(_deformed, *types)
