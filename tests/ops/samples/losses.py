"""Samples of losses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.nn.losses import BinaryCrossEntropy, CrossEntropy
from mlir_lite.types import Array, DType, bf16, f16, f32, f64, i32, i64, u8

from ..sample import Sample, normal


def _labels(shape: tuple[int, ...], classes: int, dtype: DType = i64) -> Array:
    found = np.random.default_rng(5).integers(0, classes, shape)
    return np.asarray(found).astype(dtype.numpy)


def _cross_entropies() -> Iterator[Sample]:
    for shape, axis in (
        ((1,), 0),
        ((17,), 0),
        ((3, 1), 1),
        ((3, 17), 1),
        ((65, 10), 1),
        ((2, 5, 3, 2), 1),
        ((0, 4), 1),
        ((4, 7), 0),
    ):
        rest = (*shape[:axis], *shape[axis + 1 :])
        for smoothing in (0.0, 0.1):
            yield Sample(
                f"{shape} along {axis}, smoothing {smoothing}",
                lambda x, t, axis=axis, s=smoothing: CrossEntropy(x, t, axis, s),
                (normal(shape, f32), _labels(rest, shape[axis])),
            )
            yield Sample(
                f"{shape} along {axis}, smoothing {smoothing}, f64",
                lambda x, t, axis=axis, s=smoothing: CrossEntropy(x, t, axis, s),
                (normal(shape, f64), _labels(rest, shape[axis], i32)),
                smooth=True,
            )
    for dtype in (f16, bf16):
        arrays = (normal((3, 33), dtype), _labels((3,), 33, u8))
        yield Sample(f"of {dtype}", lambda x, t: CrossEntropy(x, t, 1), arrays)
    some = np.array([0, -1, 3, 2, -1])
    yield Sample(
        "some ignored",
        lambda x, t: CrossEntropy(x, t, 1, 0.1, -1),
        (normal((5, 4), f64), some),
        smooth=True,
    )
    far = np.array([[1e4, -1e4, 0], [80, 100, 90], [-1e30, 0, 0], [1e4, 9999, 1]], np.float32)
    picked = np.array([1, 1, 0, 1])
    yield Sample("far apart", lambda x, t: CrossEntropy(x, t, 1), (far, picked))
    masked = np.array([[-np.inf, 0, 1], [-np.inf, 0, 1]], np.float32)
    yield Sample("masked", lambda x, t: CrossEntropy(x, t, 1), (masked, np.array([0, 2])))


def _binary_cross_entropies() -> Iterator[Sample]:
    for shape in ((), (1,), (17,), (0, 3), (2, 3, 5)):
        for dtype in (f32, f64, f16, bf16):
            target = np.abs(normal(shape, dtype, 1)) % dtype.numpy.type(1)
            arrays = (normal(shape, dtype), np.asarray(target).astype(dtype.numpy))
            yield Sample(f"{dtype} {shape}", BinaryCrossEntropy, arrays, smooth=dtype is f64)
    far = np.array([-1e30, -100, -20, 0, 20, 100, 1e30], np.float32)
    for certain in (0, 1):
        target = np.full_like(far, certain)
        yield Sample(f"targets of {certain}", BinaryCrossEntropy, (far, target))


LOSSES: tuple[Sample, ...] = (*_cross_entropies(), *_binary_cross_entropies())
