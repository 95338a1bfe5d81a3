"""Factors of f32 products as units of matrices multiply them: rounded, while sums of them stay f32.

    matmul %x, %w {factors = "tf32"}   ->   acc += tf32(x[m, k]) * tf32(w[k, n])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import check
from ...expr import FUNCTIONS, Expr, apply, cast
from ...ir import Element
from ...types import DTYPES, Array, DType, TensorType, f32

PLAIN = "f32"  # as they are
ROUNDED = ("tf32", "bf16", "f16")


def check_factors(factors: str, dtype: DType) -> None:
    """Raise `TypeRuleError` for factors that products of a type are not rounded to."""
    if factors == PLAIN:
        return
    known = ", ".join(f'"{name}"' for name in (PLAIN, *ROUNDED))
    check(factors in ROUNDED, f'there are no factors "{factors}"; there are {known}')
    check(dtype == f32, f'factors of {dtype} are multiplied as they are, not as "{factors}"')


@dataclass(frozen=True)
class _Rounded:
    """An operand whose elements are rounded where a body reads them."""

    element: Element
    factors: str

    @property
    def type(self) -> TensorType:
        return self.element.type

    def __getitem__(self, at: Expr | tuple[Expr, ...]) -> Expr:
        value = self.element[at]
        if self.factors == "tf32":
            return apply("tf32", value)
        return cast(cast(value, DTYPES[self.factors]), value.dtype)


def rounded_elements(factors: str, *operands: Element) -> tuple[Element, ...]:
    """What a body multiplies of its operands."""
    if factors == PLAIN:
        return operands
    return tuple(_Rounded(operand, factors) for operand in operands)


def rounded_arrays(factors: str, *arrays: Array) -> tuple[Array, ...]:
    """What a reference multiplies of its operands."""
    if factors == PLAIN:
        return arrays
    return tuple(_rounded(array, factors) for array in arrays)


def _rounded(array: Array, factors: str) -> Array:
    if factors == "tf32":
        return np.asarray(FUNCTIONS["tf32"].evaluate(array))
    with np.errstate(over="ignore"):
        return array.astype(DTYPES[factors].numpy).astype(array.dtype)
