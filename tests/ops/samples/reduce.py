"""Samples of reductions and running totals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.reductions.cumulative import Cumprod, Cumsum
from mlir_lite.ops.reductions.extreme import Argmax, Argmin
from mlir_lite.ops.reductions.recurrence import LinearRecurrence
from mlir_lite.ops.reductions.reduce import All, Any_, Max, Mean, Min, Prod, Reduction, Sum
from mlir_lite.ops.reductions.statistics import Logsumexp, Var
from mlir_lite.types import DType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8

from ..sample import Sample, normal, special

_FLOATS: tuple[DType, ...] = (f32, f16, bf16)
_NUMBERS: tuple[DType, ...] = (*_FLOATS, i64, i32, i8, u8)
_TYPES: dict[type[Reduction] | type[Logsumexp], tuple[DType, ...]] = {
    Sum: (*_NUMBERS, bool_),
    Prod: _NUMBERS,
    Max: _NUMBERS,
    Min: _NUMBERS,
    Any_: (bool_,),
    All: (bool_,),
    Mean: _FLOATS,
    Logsumexp: _FLOATS,
}
# Shape, axes, keepdims.
_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], bool], ...] = (
    ((), (), False),
    ((1,), (0,), False),
    ((17,), (0,), True),
    ((65,), (0,), False),
    ((3, 5), (1,), False),
    ((3, 5), (0,), True),
    ((3, 5), (0, 1), False),
    ((2, 3, 5), (0, 2), True),
    ((2, 3, 5), (1,), False),
    ((0, 3), (1,), False),
    ((3, 0), (1,), False),
)


def _reductions() -> Iterator[Sample]:
    for cls, dtypes in _TYPES.items():
        for shape, axes, keepdims in _CASES:
            yield Sample(
                f"{dtypes[0]} {shape} over {axes}",
                lambda x, cls=cls, axes=axes, keepdims=keepdims: cls(x, axes, keepdims),
                (normal(shape, dtypes[0]),),
            )
        for dtype in dtypes:
            yield Sample(
                f"{dtype}", lambda x, cls=cls: cls(x, (1,)), (normal((3, 17), dtype),)
            )
        if f32 in dtypes:
            # Each special value with ordinary ones beside it.
            values = np.stack([special(f32), np.ones(14, np.float32), normal((14,), f32)])
            yield Sample("special values", lambda x, cls=cls: cls(x, (0,)), (values,))
            for axes, keepdims in (((0,), False), ((1,), True), ((0, 1), False)):
                yield Sample(
                    f"smooth over {axes}",
                    lambda x, cls=cls, axes=axes, keepdims=keepdims: cls(x, axes, keepdims),
                    (normal((3, 5), f64),),
                    smooth=True,
                )
    infinite = np.full((2, 3), -np.inf, np.float32)
    yield Sample("all -inf", lambda x: Logsumexp(x, (1,)), (infinite,))


def _variances() -> Iterator[Sample]:
    for dtype in (f32, f64, f16, bf16):
        for correction in (0, 1):
            yield Sample(
                f"{dtype}, correction {correction}",
                lambda x, c=correction: Var(x, (1,), False, c),
                (normal((3, 17), dtype),),
                smooth=dtype == f64,
            )
    yield Sample("of one", lambda x: Var(x, (0,), True), (normal((1, 3), f32),))
    yield Sample("of one, unbiased", lambda x: Var(x, (0,), True, 1), (normal((1, 3), f32),))


def _extremes() -> Iterator[Sample]:
    ties = np.array([[3, 1, 3], [1, 1, 3], [2, 2, 2]])
    nans = np.array([[1, np.nan, np.nan, 2], [np.inf, 1, np.inf, -np.inf]], np.float32)
    for cls in (Argmax, Argmin):
        for last in (False, True):
            for dtype in (i64, i8, f32, bf16):
                yield Sample(
                    f"ties of {dtype}, last {last}",
                    lambda x, cls=cls, last=last: cls(x, 1, False, last),
                    (ties.astype(dtype.numpy),),
                )
            yield Sample(
                f"NaN, last {last}", lambda x, cls=cls, last=last: cls(x, 1, True, last), (nans,)
            )
        for shape, axis in (((1,), 0), ((65,), 0), ((0, 3), 1), ((2, 3, 5), 1)):
            yield Sample(
                f"{shape} along {axis}",
                lambda x, cls=cls, axis=axis: cls(x, axis),
                (normal(shape, f32),),
            )
        yield Sample("bools", lambda x, cls=cls: cls(x, 0), (np.array([False, True, True]),))
        yield Sample("bytes", lambda x, cls=cls: cls(x, 0), (normal((17,), u8),))


def _cumulatives() -> Iterator[Sample]:
    for cls in (Cumsum, Cumprod):
        for exclusive in (False, True):
            for reverse in (False, True):
                yield Sample(
                    f"exclusive {exclusive}, reverse {reverse}",
                    lambda x, cls=cls, e=exclusive, r=reverse: cls(x, 1, e, r),
                    (normal((2, 5, 3), f64),),
                    smooth=True,
                )
        for dtype in _NUMBERS:
            yield Sample(f"{dtype}", lambda x, cls=cls: cls(x, 0), (normal((17,), dtype),))
        for shape in ((1,), (0, 3), (3, 0)):
            yield Sample(f"{shape}", lambda x, cls=cls: cls(x, 0), (normal(shape, f32),))


def _recurrences() -> Iterator[Sample]:
    for shape, axis in (((5,), 0), ((2, 5, 3), 1), ((1, 3), 0), ((0, 3), 1), ((3, 0), 1)):
        for reverse in (False, True):
            yield Sample(
                f"{shape} along {axis}, reverse {reverse}",
                lambda f, t, axis=axis, r=reverse: LinearRecurrence(f, t, axis, r),
                (normal(shape, f64), normal(shape, f64, 1)),
                smooth=True,
            )
    for dtype in (f32, f16, bf16):
        yield Sample(
            f"of {dtype}",
            lambda f, t: LinearRecurrence(f, t, 0),
            (normal((17,), dtype), normal((17,), dtype, 1)),
        )


REDUCE: tuple[Sample, ...] = (
    *_reductions(),
    *_variances(),
    *_extremes(),
    *_cumulatives(),
    *_recurrences(),
)
