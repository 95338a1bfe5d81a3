"""Samples of constants, and of operations that move elements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ir import Constant, ConstantData
from mlir_lite.ops.base.broadcast import Broadcast
from mlir_lite.ops.base.extent import Extent
from mlir_lite.ops.shapes.creation import Iota
from mlir_lite.ops.shapes.join import Concat
from mlir_lite.ops.shapes.shape import Reshape, Transpose
from mlir_lite.ops.shapes.slice import Pad, Slice
from mlir_lite.types import DTYPES, bf16, bool_, f32, f64, i32, i64, u8

from ..sample import Sample, normal, special

_MATRIX = normal((3, 5), f64)


def _created() -> Iterator[Sample]:
    for dtype in DTYPES.values():
        data = ConstantData.of(special(dtype))
        yield Sample(f"of {dtype}", lambda data=data: Constant(data), ())
        if dtype != bool_:
            yield Sample(f"of {dtype}", lambda dtype=dtype: Iota(17, dtype), ())
            yield Sample(f"of {dtype}", lambda dtype=dtype: Extent(17, dtype), ())
    scalar = ConstantData.of(np.array(2.5, np.float32))
    yield Sample("rank 0", lambda: Constant(scalar), ())
    yield Sample("no elements", lambda: Iota(0), ())


def _broadcast() -> Iterator[Sample]:
    for have, want in (
        ((), ()),
        ((), (0,)),
        ((), (2, 3)),
        ((1,), (65,)),
        ((3,), (2, 3)),
        ((3, 1), (3, 7)),
        ((1, 1, 5), (4, 3, 2, 5)),
    ):
        yield Sample(
            f"{have} to {want}",
            lambda x, want=want: Broadcast(x, want),
            (normal(have, f64),),
            smooth=True,
        )
    yield Sample("bf16", lambda x: Broadcast(x, (2, 14)), (special(bf16),))
    yield Sample("equal rank", lambda x: Broadcast(x, (3, 5, 2)), (normal((3, 1, 2), f32),))


def _reshape() -> Iterator[Sample]:
    for have, want in (
        ((), (1,)),
        ((1, 1), ()),
        ((0, 3), (5, 0)),
        ((2, 3, 5), (30,)),
        ((30,), (2, 3, 5)),
        ((6, 5), (2, 3, 5)),
        ((4, 6), (8, 3)),
        ((2, 1, 3), (1, 2, 3, 1)),
        ((7, 4, 9), (7, 6, 6)),
        ((1, 2), (2, 1, 1)),
    ):
        yield Sample(
            f"{have} to {want}",
            lambda x, want=want: Reshape(x, want),
            (normal(have, f64),),
            smooth=True,
        )
    yield Sample("bools", lambda x: Reshape(x, (5, 3)), (normal((15,), bool_),))


def _transpose() -> Iterator[Sample]:
    for shape, perm in (
        ((), ()),
        ((17,), (0,)),
        ((0, 3), (1, 0)),
        ((5, 7), (1, 0)),
        ((2, 3, 5), (2, 0, 1)),
        ((2, 3, 1, 5), (0, 2, 3, 1)),
    ):
        yield Sample(
            f"{shape} by {perm}",
            lambda x, perm=perm: Transpose(x, perm),
            (normal(shape, f64),),
            smooth=True,
        )


def _slices() -> Iterator[Sample]:
    for comment, starts, sizes, steps in (
        ("all", (0, 0), (3, 5), (1, 1)),
        ("a corner", (1, 2), (2, 3), (1, 1)),
        ("nothing", (3, 0), (0, 5), (1, 1)),
        ("one element", (2, 4), (1, 1), (1, 1)),
        ("every second", (0, 1), (2, 2), (2, 2)),
        ("backwards", (2, 4), (3, 5), (-1, -1)),
        ("backwards by 3", (2, 4), (2, 2), (-2, -3)),
        ("a step beyond the end", (1, 3), (1, 1), (7, -9)),
    ):
        yield Sample(
            comment,
            lambda x, a=starts, b=sizes, c=steps: Slice(x, a, b, c),
            (_MATRIX,),
            smooth=True,
        )
    yield Sample("rank 0", lambda x: Slice(x, (), (), ()), (np.array(2.0),), smooth=True)


def _pads() -> Iterator[Sample]:
    for low, high in (((0, 0), (0, 0)), ((1, 2), (0, 3)), ((-1, 2), (2, -3)), ((-3, 0), (0, 0))):
        yield Sample(
            f"{low}, {high}",
            lambda x, low=low, high=high: Pad(x, low, high),
            (_MATRIX,),
            smooth=True,
        )
    yield Sample("of nothing", lambda x: Pad(x, (2, 0), (1, 1)), (normal((0, 3), f32),))
    yield Sample(
        "with -inf", lambda x: Pad(x, (1,), (1,), "constant", -np.inf), (normal((17,), f32),)
    )
    yield Sample("of integers", lambda x: Pad(x, (1,), (2,), "constant", 7), (normal((5,), i64),))
    yield Sample(
        "of bools", lambda x: Pad(x, (1,), (2,), "constant", True), (normal((5,), bool_),)
    )
    for mode in ("edge", "reflect", "wrap"):
        for low, high in (((1, 2), (2, 4)), ((7, 0), (8, 11)), ((0, 0), (0, 1))):
            yield Sample(
                f"{mode} {low}, {high}",
                lambda x, low=low, high=high, mode=mode: Pad(x, low, high, mode),
                (normal((3, 5), i32),),
            )
            yield Sample(
                f"{mode} {low}, {high}, f64",
                lambda x, low=low, high=high, mode=mode: Pad(x, low, high, mode),
                (normal((3, 5), f64),),
                smooth=True,
            )
        for size in (1, 2):
            yield Sample(
                f"{mode} of {size}",
                lambda x, mode=mode: Pad(x, (3,), (2,), mode),
                (normal((size,), f32),),
                smooth=True,
            )


def _concats() -> Iterator[Sample]:
    for shapes, axis in (
        (((3,),), 0),
        (((1,), (17,)), 0),
        (((0, 2), (3, 2), (0, 2), (2, 2)), 0),
        (((2, 3), (2, 1), (2, 5)), 1),
        (((0, 2), (0, 2)), 0),
        (((2, 1, 3), (2, 4, 3)), 1),
    ):
        arrays = tuple(normal(shape, f64, seed) for seed, shape in enumerate(shapes))
        yield Sample(
            f"{shapes} along {axis}",
            lambda xs, axis=axis: Concat(xs, axis),
            (arrays,),
            smooth=True,
        )
    yield Sample("bytes", lambda xs: Concat(xs, 0), ((special(u8), special(u8)),))


SHAPE: tuple[Sample, ...] = (
    *_created(),
    *_broadcast(),
    *_reshape(),
    *_transpose(),
    *_slices(),
    *_pads(),
    *_concats(),
)
