"""Samples of random numbers, which are functions of a seed and a stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.random import RandomBits
from mlir_lite.types import i32, i64

from ..sample import Sample


def _bits() -> Iterator[Sample]:
    seeds = np.array(0x0123456789ABCDEF), np.array(-3)
    for shape in ((), (1,), (2,), (17,), (65,), (0, 3), (3, 5, 7)):
        for dtype in (i32, i64):
            yield Sample(
                f"{dtype} {shape}",
                lambda s, t, shape=shape, dtype=dtype: RandomBits(s, t, shape, dtype),
                seeds,
            )


RANDOM: tuple[Sample, ...] = tuple(_bits())
