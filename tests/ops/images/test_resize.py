"""Resizing gives what ONNX Runtime gives, in each of its modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlir_lite import ops
from mlir_lite.ops.images.resize import ROUNDINGS, ResizeNearest
from mlir_lite.ops.images.sampling import COORDINATES
from mlir_lite.types import Array, f32

from ..sample import normal, value_like
from ..traced import run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# The width of an image before and after; the height stays.
COUNTS = ((3, 6), (5, 3), (6, 7), (9, 4), (7, 1), (1, 5), (4, 4), (10, 25))
SCALES = (0.5, 2.0, 1.5, 0.6, 0.3, 2.3, 0.7)
# ONNX Runtime has this one for nearest elements only.
SMOOTH = tuple(name for name in COORDINATES if name != "tf_half_pixel_for_nn")


def _runtime(x: Array, target: dict[str, Array], **attributes: str | float) -> Array:
    """The result of a Resize node; `target` is the array of its input "sizes" or "scales"."""
    helper = onnx.helper
    inputs = ["x", "", "scales"] if "scales" in target else ["x", "", "", "sizes"]
    node = helper.make_node("Resize", inputs, ["y"], **attributes)
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in target.items()]
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(x.shape))
    made = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "resize", [given], [made], constants)
    opset = helper.make_opsetid("", 19)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def _both(x: Array, count: int | None, scale: float, **options: Any) -> tuple[Array, Array]:
    """Our result and the runtime's; the options of `ops.resize` are texts and numbers."""
    names = {
        "coordinates": "coordinate_transformation_mode",
        "rounding": "nearest_mode",
        "coefficient": "cubic_coeff_a",
        "exclude_outside": "exclude_outside",
        "mode": "mode",
    }
    attributes = {names[name]: value for name, value in options.items()}
    if count is not None:
        shape = (*x.shape[:-1], count)
        wanted = _runtime(x, {"sizes": np.array(shape, np.int64)}, **attributes)
        return run(lambda x: ops.resize(x, shape, **options), x), wanted
    scales = np.array([1, 1, 1, scale], np.float32)
    wanted = _runtime(x, {"scales": scales}, **attributes)
    return run(lambda x: ops.resize(x, scales=scales.tolist(), **options), x), wanted


def _cases() -> list[tuple[int, int | None, float]]:
    return [*((size, count, 0.0) for size, count in COUNTS), *((11, None, s) for s in SCALES)]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest(coordinates: str, rounding: str) -> None:
    for size, count, scale in _cases():
        x = np.broadcast_to(np.arange(size, dtype=np.float32), (1, 1, 2, size))
        actual, wanted = _both(x, count, scale, coordinates=coordinates, rounding=rounding)
        assert actual.shape == wanted.shape, (size, count, scale)
        scales = () if count is not None else (1.0, 1.0, 1.0, scale)
        op = ResizeNearest(value_like("x", x), actual.shape, coordinates, scales)
        places = [op.samplings()[-1].at(i) for i in range(actual.shape[-1])]
        # The runtime computes places in f32, where an integer may come out a little off: there
        # rounding down or up gives a neighbour.
        halves = rounding not in ("floor", "ceil")
        decided = np.array([halves or place % 1 != 0 for place in places])
        text = f"{size} to {count} by {scale}"
        np.testing.assert_array_equal(actual[..., decided], wanted[..., decided], err_msg=text)
        assert np.abs(actual - wanted).max() <= 1, text


@pytest.mark.parametrize("coordinates", SMOOTH)
def test_linear(coordinates: str) -> None:
    for size, count, scale in _cases():
        x = normal((1, 1, 3, size), f32)
        actual, wanted = _both(x, count, scale, mode="linear", coordinates=coordinates)
        # Places of about 10 in f32 are off by 1e-6, and so are the weights.
        np.testing.assert_allclose(actual, wanted, atol=1e-5, err_msg=f"{size}, {count}, {scale}")


@pytest.mark.parametrize("exclude_outside", [0, 1])
@pytest.mark.parametrize("coordinates", SMOOTH)
def test_cubic(coordinates: str, exclude_outside: int) -> None:
    for size, count, scale in _cases():
        x = normal((1, 1, 3, size), f32)
        actual, wanted = _both(
            x,
            count,
            scale,
            mode="cubic",
            coordinates=coordinates,
            coefficient=-0.5,
            exclude_outside=exclude_outside,
        )
        np.testing.assert_allclose(actual, wanted, atol=2e-5, err_msg=f"{size}, {count}, {scale}")
