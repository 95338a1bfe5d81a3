"""Parts of images resampled: what is linear stays so, and gradients add up; the ONNX suite has the
numbers."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, ops
from mlir_lite.errors import TypeRuleError
from mlir_lite.ir import run_reference
from mlir_lite.types import f32, f64, i64

from ..sample import normal, value_like
from ..traced import run, trace, type_of

_BOXES = np.array([[1.0, 2.0, 5.0, 6.0], [0.5, 1.5, 3.0, 2.5], [2.0, 2.0, 4.0, 5.0]])
_IMAGES = np.array([1, 0, 1])


def _aligned(x: Value, boxes: Value) -> Value:
    return ops.roi_align(x, boxes, _IMAGES, (2, 3), samples=3)


def test_a_ramp_is_sampled_where_the_bins_are() -> None:
    rows = np.broadcast_to(np.arange(8.0)[:, None], (2, 1, 8, 8))
    found = run(_aligned, rows.copy(), _BOXES)
    start, stop = _BOXES[:, 1] - 0.5, _BOXES[:, 3] - 0.5
    centres = start[:, None] + (stop - start)[:, None] * np.array([0.25, 0.75])
    wanted = np.broadcast_to(centres[:, None, :, None], (3, 1, 2, 3))
    # The mean of nine numbers below 8.
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_gradients_of_a_box_in_the_image_add_up_to_its_elements() -> None:
    fn = trace(_aligned, value_like("x", normal((2, 4, 8, 8), f64)), value_like("b", _BOXES))
    ones = np.ones((3, 4, 2, 3))
    _, found, _ = run_reference(ml.vjp(fn), [normal((2, 4, 8, 8), f64), _BOXES, ones])
    assert found.sum((1, 2, 3)) == pytest.approx([24, 48])


def test_boxes_are_four_numbers() -> None:
    types = f32[2, 4, 8, 8], f32[3, 5], i64[3]
    with pytest.raises(TypeRuleError, match="a box is four numbers"):
        type_of(lambda x, b, i: ops.roi_align(x, b, i, (2, 2)), *types)
