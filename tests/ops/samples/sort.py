"""Samples of sorting: NaN, infinities, zeros of both signs and equal elements in all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.sorting.sort import Argsort
from mlir_lite.types import Array, DType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8

from ..sample import Sample, normal, special


def _with_equals(shape: tuple[int, ...], dtype: DType) -> Array:
    """Few different values, among them those that go wrong first."""
    values = special(dtype)
    return values[np.random.default_rng(3).integers(0, len(values), shape)]


def _sorts() -> Iterator[Sample]:
    for comment, x, axis, count in (
        ("a vector", normal((17,), f64), 0, None),
        ("one element", normal((1,), f32), 0, None),
        ("rows", normal((3, 5), f32), 1, None),
        ("columns", normal((5, 3), f32), 0, None),
        ("the middle", normal((2, 7, 3), f32), 1, 4),
        ("the first", normal((4, 9), f32), 1, 1),
        ("none of them", normal((4, 9), f32), 1, 0),
        ("no rows", normal((0, 5), f32), 1, None),
        ("empty rows", normal((3, 0), f32), 1, None),
        ("a power of two", normal((2, 16), f32), 1, None),
        ("one more", normal((2, 33), f32), 1, 32),
        *((f"equals of {t}", _with_equals((2, 21), t), 1, None) for t in (f64, f32, f16, bf16)),
        *((f"equals of {t}", _with_equals((2, 9), t), 1, 5) for t in (i64, i32, i8, u8, bool_)),
    ):
        for descending in (False, True):
            yield Sample(
                f"{comment}, {'descending' if descending else 'ascending'}",
                lambda x, a=axis, c=count, d=descending: Argsort(x, a, c, d),
                (x,),
            )


def _chosen() -> Iterator[Sample]:
    """Few of many: what comes first is chosen before it is sorted."""
    rising = np.arange(150, dtype=np.float32)
    for comment, x, count in (
        ("three of any", normal((2, 130), f32), 3),
        ("half of rising ones, or nearly", rising, 70),
        ("some of rising ones", rising, 9),
        ("some of falling ones", rising[::-1].copy(), 9),
        ("some of equals", _with_equals((2, 100), f32), 9),
        ("some of NaN", np.full((80,), np.nan, np.float32), 2),
    ):
        yield Sample(comment, lambda x, c=count: Argsort(x, x.rank - 1, c, True), (x,))


SORT: tuple[Sample, ...] = (*_sorts(), *_chosen())
