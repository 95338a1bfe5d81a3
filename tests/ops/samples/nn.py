"""Samples of matrix products, normalisations, softmax and attention."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.algorithms.panels import PackColumns, PanelMatmul
from mlir_lite.ops.base.factors import ROUNDED
from mlir_lite.ops.nn.attention import Attention
from mlir_lite.ops.nn.batch_norm import BatchNormTraining
from mlir_lite.ops.nn.norm import BatchNorm, LayerNorm, RmsNorm
from mlir_lite.ops.nn.softmax import LogSoftmax, Softmax
from mlir_lite.ops.products.matmul import Matmul
from mlir_lite.types import DType, bf16, f16, f32, f64, i8, i32, i64, u8

from ..sample import Sample, normal

_FLOATS: tuple[DType, ...] = (f64, f16, bf16)


def _products() -> Iterator[Sample]:
    shapes = (
        ((1, 1), (1, 1)),
        ((7, 17), (17, 33)),
        ((3, 0), (0, 2)),
        ((0, 3), (3, 2)),
        ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 1, 4, 5)),
        ((2, 1, 3, 4), (5, 4, 1)),
        ((0, 3, 4), (1, 4, 5)),
    )
    for left, right in shapes:
        arrays = (normal(left, f32), normal(right, f32, 1))
        yield Sample(f"{left} x {right}", Matmul, arrays)
        exact = (normal(left, f64), normal(right, f64, 1))
        yield Sample(f"{left} x {right} of f64", Matmul, exact, smooth=True)
    for dtype in (f16, bf16, i8, u8, i32, i64):
        arrays = (normal((3, 129), dtype), normal((129, 5), dtype, 1))
        yield Sample(f"of {dtype}", Matmul, arrays)
    for factors in ROUNDED:
        yield Sample(
            f"of {factors}",
            lambda x, w, factors=factors: Matmul(x, w, factors),
            (normal((3, 17), f32), normal((17, 5), f32, 1)),
        )
        yield Sample(
            f"of {factors}",
            lambda x, panels, factors=factors: PanelMatmul(x, panels, 5, factors),
            (normal((3, 17), f32), normal((2, 17, 4), f32, 1)),
        )
    yield Sample("of u8 by i8", Matmul, (normal((2, 3, 129), u8), normal((129, 5), i8, 1)))
    extremes = np.full((1, 70_000), 255, np.uint8), np.full((70_000, 1), -128, np.int8)
    yield Sample("of u8 by i8 that wraps around", Matmul, extremes)


def _panels() -> Iterator[Sample]:
    for k, n, width in ((1, 1, 1), (1, 1, 16), (3, 17, 16), (5, 32, 16), (0, 3, 2), (7, 33, 8)):
        for dtype in (f32, bf16):
            columns = normal((k, n), dtype)
            yield Sample(
                f"{k}x{n} in {width}, {dtype}",
                lambda x, width=width: PackColumns(x, width),
                (columns,),
            )
            panels = normal((-(-n // width), k, width), dtype, 2)
            for rows in ((2, 5, k), (0, k), (k,)):
                yield Sample(
                    f"{rows} by {n} in {width}, {dtype}",
                    lambda x, panels, n=n: PanelMatmul(x, panels, n),
                    (normal(rows, dtype, 1), panels),
                )
    yield Sample("of a batch", lambda x: PackColumns(x, 8), (normal((3, 5, 17), f32),))
    batches: tuple[tuple[int, tuple[int, ...]], ...] = (
        (1, (3, 7, 5)),
        (2, (2, 3, 4, 5)),
        (1, (3, 5)),
        (1, (1, 5)),
        (1, (3, 0, 5)),
    )
    for leading, lhs in batches:
        yield Sample(
            f"{leading} leading axes of {lhs}",
            lambda x, panels: PanelMatmul(x, panels, 17),
            (normal(lhs, f32), normal((*lhs[:leading], 3, 5, 8), f32, 1)),
        )


def _softmaxes() -> Iterator[Sample]:
    for cls in (Softmax, LogSoftmax):
        lengths = ((1,), 0), ((3, 17), 1), ((3, 17), 0), ((2, 3, 5), 1), ((0, 3), 1)
        for shape, axis in (*lengths, ((13, 1), 1), ((1, 31), 0), ((7, 1, 1, 5), 1)):
            yield Sample(
                f"{shape} along {axis}",
                lambda x, cls=cls, axis=axis: cls(x, axis),
                (normal(shape, f32),),
            )
        yield Sample("of none", lambda x, cls=cls: cls(x, 1), (np.zeros((3, 0), np.float32),))
        for dtype in _FLOATS:
            yield Sample(
                f"of {dtype}",
                lambda x, cls=cls: cls(x, 1),
                (normal((3, 33), dtype),),
                smooth=dtype is f64,
            )
        far = np.array([[1e4, -1e4, 0], [80, 100, 90], [-1e30, 0, 0]], np.float32)
        yield Sample("far apart", lambda x, cls=cls: cls(x, 1), (far,))
        some = np.array([[-np.inf] * 3, [-np.inf, 0, 1], [np.inf, 0, 1], [np.nan, 0, 1]])
        yield Sample(
            "infinite and NaN", lambda x, cls=cls: cls(x, 1), (some.astype(np.float32),)
        )


def _norms() -> Iterator[Sample]:
    for shape, axis in (((1, 1), 1), ((3, 17), 1), ((2, 3, 5), 1), ((0, 4), 1), ((4,), 0)):
        for dtype in (f32, *_FLOATS):
            x = normal(shape, dtype) * dtype.numpy.type(3) + dtype.numpy.type(1)
            scale, bias = normal(shape[axis:], dtype, 1), normal(shape[axis:], dtype, 2)
            name = f"{shape} from {axis}, {dtype}"
            yield Sample(
                name,
                lambda x, s, b, axis=axis: LayerNorm(x, s, b, axis, 1e-5),
                (x, scale, bias),
                smooth=dtype is f64,
            )
            yield Sample(
                name,
                lambda x, s, axis=axis: RmsNorm(x, s, axis, 1e-6),
                (x, scale),
                smooth=dtype is f64,
            )
    x, bias = normal((3, 17), f32), normal((17,), f32, 1)
    plain = x, None, None
    yield Sample("plain", lambda x, s, b: LayerNorm(x, s, b, 1, 1e-5), plain, smooth=True)
    yield Sample("no scale", lambda x, s, b: LayerNorm(x, s, b, 1, 1e-5), (x, None, bias))
    yield Sample("plain", lambda x, s: RmsNorm(x, s, 1, 1e-5), (x, None), smooth=True)
    equal = np.full((2, 8), 5, np.float32)
    yield Sample("of equals", lambda x, s, b: LayerNorm(x, s, b, 1, 1e-5), (equal, None, None))
    zeros = np.zeros((2, 8), np.float32)
    yield Sample("of zeros", lambda x, s: RmsNorm(x, s, 1, 1e-5), (zeros, None))
    large = normal((2, 64), f16) * np.float16(1000)
    yield Sample("squares beyond f16", lambda x, s: RmsNorm(x, s, 1, 1e-5), (large, None))


def _batch_norms() -> Iterator[Sample]:
    for shape, axis in (((2, 3, 4, 5), 1), ((2, 4, 5, 33), 3), ((3, 17), 1), ((0, 2, 3), 1)):
        for dtype in (f32, *_FLOATS):
            channels = (shape[axis],)
            yield Sample(
                f"{shape} along {axis}, {dtype}",
                lambda x, s, b, m, v, axis=axis: BatchNorm(x, s, b, m, v, axis, 1e-5),
                (
                    normal(shape, dtype),
                    normal(channels, dtype, 1),
                    normal(channels, dtype, 2),
                    normal(channels, dtype, 3),
                    np.abs(normal(channels, dtype, 4)) + dtype.numpy.type(0.5),
                ),
                smooth=dtype is f64,
            )


def _batch_norms_in_training() -> Iterator[Sample]:
    for shape, axis in (((2, 3, 4, 5), 1), ((2, 4, 5, 33), 3), ((3, 17), 1), ((1, 2), 1)):
        for dtype in (f32, *_FLOATS):
            channels = (shape[axis],)
            yield Sample(
                f"{shape} along {axis}, {dtype}",
                lambda x, s, b, axis=axis: BatchNormTraining(x, s, b, axis, 1e-3),
                (normal(shape, dtype), normal(channels, dtype, 1), normal(channels, dtype, 2)),
                smooth=dtype is f64,
            )


def _attentions() -> Iterator[Sample]:
    shapes = (
        ((1, 1), (1, 1), (1, 1)),
        ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4)),
        ((5, 8), (2, 7, 8), (2, 7, 3)),
        ((0, 5, 8), (0, 7, 8), (0, 7, 8)),
    )
    for shape in shapes:
        for dtype in (f32, *_FLOATS):
            for causal in (False, True):
                q, k, v = (normal(entry, dtype, seed) for seed, entry in enumerate(shape))
                yield Sample(
                    f"{shape[0]} {shape[1]}, {dtype}, causal {causal}",
                    lambda q, k, v, m, causal=causal: Attention(q, k, v, m, 0.3, causal),
                    (q, k, v, None),
                    smooth=dtype is f64,
                )
    q, k, v = normal((2, 1, 5, 8), f64), normal((3, 7, 8), f64, 1), normal((4, 1, 1, 7, 3), f64, 2)
    for wanted in ((5, 7), (2, 1, 1, 7), (1, 5, 1)):
        yield Sample(
            f"heads repeated, a mask {wanted}",
            lambda q, k, v, m: Attention(q, k, v, m, 0.3),
            (q, k, v, normal(wanted, f64, 3)),
            smooth=True,
        )
    q, k, v = (normal((2, 4, 8), f32, seed) for seed in range(3))
    mask = normal((2, 1, 4), f32, 3)
    mask[1, 0] = -np.inf
    for causal in (False, True):
        yield Sample(
            f"a row that sees nothing, causal {causal}",
            lambda q, k, v, m, causal=causal: Attention(q, k, v, m, 0.3, causal),
            (q, k, v, mask),
        )


NN: tuple[Sample, ...] = (
    *_products(),
    *_panels(),
    *_softmaxes(),
    *_norms(),
    *_batch_norms(),
    *_batch_norms_in_training(),
    *_attentions(),
)
