"""Element types and tensor types.

`f32[64, 784]` is a tensor type; a string in the brackets is a named size: `f32["batch", 784]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import check
from .sizes import Dim, Shape, Size, product, size, static, substitute

Array: TypeAlias = NDArray[Any]  # of any element type: NumPy types none of its arithmetic by it


@dataclass(frozen=True)
class DType:
    """An element type: `kind` is "f" (float), "i" (signed), "u" (unsigned) or "b" (bool)."""

    name: str
    kind: str
    bits: int

    def __str__(self) -> str:
        return self.name

    def __getitem__(self, shape: int | str | Dim | tuple[int | str | Dim, ...]) -> TensorType:
        entries = shape if isinstance(shape, tuple) else (shape,)
        return TensorType(tuple(size(entry) for entry in entries), self)

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats, bf16 and f16 among them."""
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether its numbers are integers, signed or not; a bool is none."""
        return self.kind in "iu"

    @property
    def bytes(self) -> int:
        """Bytes of an element in memory; a bool has one."""
        return max(1, self.bits // 8)

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy type of an array of these."""
        if self.name == "bf16":
            import ml_dtypes

            bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return bfloat16
        spelled = {"f": "float", "i": "int", "u": "uint"}
        return np.dtype("bool" if self.kind == "b" else f"{spelled[self.kind]}{self.bits}")


f64 = DType("f64", "f", 64)
f32 = DType("f32", "f", 32)
f16 = DType("f16", "f", 16)
bf16 = DType("bf16", "f", 16)
i64 = DType("i64", "i", 64)
i32 = DType("i32", "i", 32)
i16 = DType("i16", "i", 16)
i8 = DType("i8", "i", 8)
u8 = DType("u8", "u", 8)
bool_ = DType("bool", "b", 1)

DTYPES: Mapping[str, DType] = {
    dtype.name: dtype for dtype in (f64, f32, f16, bf16, i64, i32, i16, i8, u8, bool_)
}


def dtype_of(array: Array) -> DType:
    """The element type of a NumPy array; `TypeRuleError` for one the compiler does not have."""
    for dtype in DTYPES.values():
        # The width first: asking for `numpy` of bf16 loads a package.
        if dtype.bytes == array.dtype.itemsize and dtype.numpy == array.dtype:
            return dtype
    have = ", ".join(DTYPES)
    check(False, f"no element type for NumPy's {array.dtype}; the compiler has {have}")
    raise AssertionError


@dataclass(frozen=True)
class TensorType:
    """Shape and element type of a value; printed as `tensor<64x784xf32>`, `tensor<f32>`.

    `TypeRuleError` for a negative size, and for one that is not below 2**63.
    """

    shape: Shape
    dtype: DType

    def __post_init__(self) -> None:
        for entry in self.shape:
            if isinstance(entry, int) and not 0 <= entry < 1 << 63:
                check(False, f"{self} has the size {entry}; a size is from 0 to 2**63 - 1")

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        """Whether all sizes are numbers."""
        return all(isinstance(entry, int) for entry in self.shape)

    @cached_property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as integers; `TypeRuleError` while a size is only named."""
        return static(self.shape)

    @cached_property
    def elements(self) -> Size:
        return product(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements; the sizes must be numbers."""
        return prod(self.static_shape) * self.dtype.bytes

    def with_shape(self, shape: Iterable[Size]) -> TensorType:
        """The type of the same elements in another shape."""
        return TensorType(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The type of the same shape with other elements."""
        return TensorType(self.shape, dtype)

    def substitute(self, sizes: Mapping[str, Size]) -> TensorType:
        """The type with values, or other sizes, in the place of named sizes."""
        return self.with_shape(substitute(entry, sizes) for entry in self.shape)

    def __str__(self) -> str:
        text = "".join(
            f"{entry}x" if isinstance(entry, int) else f"[{entry}]x" for entry in self.shape
        )
        return f"tensor<{text}{self.dtype}>"
