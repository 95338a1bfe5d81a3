"""Samples of the operations that compute each element by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mlir_lite.ir import Op
from mlir_lite.ops.base.cast import Cast
from mlir_lite.ops.base.elements import Binary, Unary
from mlir_lite.ops.elementwise import activation, arithmetic, compare, gate, trigonometry, unary
from mlir_lite.ops.elementwise.activation import HardSigmoid, LeakyRelu, Shrink
from mlir_lite.ops.elementwise.compare import LeftShift, RightShift
from mlir_lite.ops.elementwise.gate import Gelu, QuickGelu
from mlir_lite.ops.elementwise.select import Clip, Where
from mlir_lite.ops.elementwise.tf32 import Tf32, Tf32Cut
from mlir_lite.types import DTYPES, DType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8

from ..sample import Sample, normal, special, special_pairs

# The types a domain letter (see `DType.kind`) is tried with, beside f32 and i64.
_TYPES: dict[str, tuple[DType, ...]] = {
    "f": (f32, f64, f16, bf16),
    "i": (i64, i32, i8),
    "u": (u8,),
    "b": (bool_,),
}
_SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (17,), (65,), (0, 3), (2, 3, 5))

_UNARY: list[type[Unary]] = [
    cls
    for family in (unary, trigonometry, activation, gate, compare)
    for cls in family.OPS
    if issubclass(cls, Unary)
]
_BINARY: list[type[Binary]] = [
    cls
    for family in (arithmetic, compare, activation)
    for cls in family.OPS
    if issubclass(cls, Binary) and cls not in (LeftShift, RightShift)
]


# What is not defined below zero.
_POSITIVE: tuple[type[Op], ...] = (
    unary.Log,
    unary.Log2,
    unary.Log10,
    unary.Sqrt,
    unary.Rsqrt,
    trigonometry.Arccosh,
)


def _types_of(domain: str) -> tuple[DType, ...]:
    return tuple(dtype for kind in domain for dtype in _TYPES[kind])


def _unary() -> Iterator[Sample]:
    for cls in _UNARY:
        first = _types_of(cls.domain)[0]
        for shape in _SHAPES:
            yield Sample(f"{first} {shape}", cls, (normal(shape, first),))
        for dtype in _types_of(cls.domain):
            yield Sample(f"special values of {dtype}", cls, (special(dtype),))
        if "f" in cls.domain:
            # Away from the kinks of activations; arccosh is defined from 1 on.
            low = 1.1 if cls is trigonometry.Arccosh else 0.1
            inside = np.linspace(low, low + 0.83, 5)
            yield Sample("in the domain", cls, (inside,), smooth=True)
            if cls not in _POSITIVE:
                yield Sample("below zero", cls, (-inside,), smooth=True)
    for cls in (trigonometry.Sin, trigonometry.Cos, trigonometry.Tan):
        for dtype in (f32, f64):  # some of a vector's lanes have large angles
            large = np.where(np.arange(37) % 5, 1.0, 2.0 ** np.arange(10, 121, 3))
            yield Sample(f"large angles of {dtype}", cls, (large.astype(dtype.numpy),))


def _rounded() -> Iterator[Sample]:
    """Steps, halves between them and what is beside those; NaN of other bits than the usual."""
    steps = 1 + np.array([0, 0.5, 0.25, 0.75, 1, 1.5], np.float32) * np.float32(2**-10)
    payloads = np.array([0x7FC00001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32)
    for cls in (Tf32, Tf32Cut):
        for shape in _SHAPES:
            yield Sample(f"f32 {shape}", cls, (normal(shape, f32),))
        yield Sample("special values", cls, (special(f32),))
        yield Sample("halves", cls, (np.concatenate([steps, -steps, steps * 2**-130]),))
        yield Sample("other NaN", cls, (payloads.view(np.float32),))


def _binary() -> Iterator[Sample]:
    for cls in _BINARY:
        first = _types_of(cls.domain)[0]
        for shape in _SHAPES:
            yield Sample(f"{first} {shape}", cls, (normal(shape, first), normal(shape, first, 1)))
        for dtype in _types_of(cls.domain):
            yield Sample(f"special values of {dtype}", cls, special_pairs(dtype))
        if "f" in cls.domain:
            pair = np.array([0.3, 0.7, 1.3, 2.1]), np.array([0.5, 0.4, 0.6, 0.9])
            yield Sample("positive", cls, pair, smooth=True)


def _with_attributes() -> Iterator[Sample]:
    x, values = normal((2, 17), f32), special(f32)
    variants: list[tuple[str, Callable[..., Op]]] = [
        ("alpha 0.2", lambda x: LeakyRelu(x, 0.2)),
        ("tanh", lambda x: Gelu(x, "tanh")),
        ("alpha 1", lambda x: QuickGelu(x, 1.0)),
        ("alpha 0.2, beta 0.6", lambda x: HardSigmoid(x, 0.2, 0.6)),
        ("threshold 0.25, bias 0.1", lambda x: Shrink(x, 0.25, 0.1)),
        ("both limits", lambda x: Clip(x, -0.5, 0.75)),
        ("minimum alone", lambda x: Clip(x, 0.0)),
        ("maximum alone", lambda x: Clip(x, maximum=0.0)),
        ("no limit", lambda x: Clip(x)),
        ("limits that cross", lambda x: Clip(x, 1.0, -1.0)),
    ]
    for comment, build in variants:
        yield Sample(f"{comment}, normal", build, (x,))
        yield Sample(f"{comment}, special", build, (values,))
        yield Sample(f"{comment}, smooth", build, (np.linspace(-1.9, 2.1, 9),), smooth=True)
    yield Sample("integers", lambda x: Clip(x, -3, 4), (normal((17,), i32),))


def _shifts() -> Iterator[Sample]:
    for cls in (LeftShift, RightShift):
        for dtype in (i64, i32, i8, u8):
            amount = (np.arange(7) % dtype.bits).astype(dtype.numpy)
            yield Sample(f"special values of {dtype}", cls, (special(dtype), amount))


def _where() -> Iterator[Sample]:
    for dtype in DTYPES.values():
        then, otherwise = special_pairs(dtype)
        picked = normal(then.shape, bool_)
        yield Sample(f"special values of {dtype}", Where, (picked, then, otherwise))
    smooth = (normal((2, 3), bool_), normal((2, 3), f64), normal((2, 3), f64, 1))
    yield Sample("a matrix", Where, smooth, smooth=True)


def _casts() -> Iterator[Sample]:
    wide = np.array([1e30, -1e30, 300.7, -300.7, 2.0**31, 2.0**63, -(2.0**63), 255.5, 0.999])
    for source in DTYPES.values():
        values = special(source)
        if source in (f32, f64):
            values = np.concatenate([values, wide.astype(source.numpy)])
        for target in DTYPES.values():
            yield Sample(
                f"{source} to {target}",
                lambda x, target=target: Cast(x, target),
                (values,),
            )
    yield Sample("f64 to f64", lambda x: Cast(x, f64), (normal((3,), f64),), smooth=True)


ELEMENTWISE: tuple[Sample, ...] = (
    *_unary(),
    *_rounded(),
    *_binary(),
    *_with_attributes(),
    *_shifts(),
    *_where(),
    *_casts(),
)
