"""Sizes as numbers, of which some are known by name only until the shapes are."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr, cast, index
from ...ir import Op, constructor, op
from ...sizes import Size, static
from ...types import Array, DType, TensorType, i64
from .body import Indices


@op
class Extent(Op):
    """A size as a number: of an axis, say, that is known by name only before the call."""

    size: Size
    dtype: DType = i64

    def infer(self) -> TensorType:
        check(self.dtype.kind != "b", f"the size {self.size} is a number, and no bool")
        return TensorType((), self.dtype)

    def reference(self) -> Array:
        (size,) = static((self.size,))
        return np.asarray(size).astype(self.dtype.numpy)

    def body(self, at: Indices) -> Expr:
        (size,) = static((self.size,))
        return cast(index(size), self.dtype)


extent = constructor(Extent)

OPS: tuple[type[Op], ...] = (Extent,)
