"""Systems of equations and factors of matrices."""

from __future__ import annotations

from collections.abc import Mapping

from .... import ops
from ....ir import Value
from ....types import i32
from .typed import Reader, Typed


def _no_fault(x: Value) -> Value:
    """What torch calls `info`: a fault is an error here, which the call raises."""
    return ops.zeros(x.shape[:-2], i32)


def cholesky(x: Value, *, upper: bool = False, check_errors: bool = False) -> tuple[Value, Value]:
    """The factor of a symmetric positive definite matrix."""
    return ops.linalg.cholesky(x, upper=upper), _no_fault(x)


def inverse(x: Value, *, check_errors: bool = False) -> tuple[Value, Value]:
    """The inverse."""
    return ops.linalg.inverse(x), _no_fault(x)


def solve(
    a: Value, b: Value, *, left: bool = True, check_errors: bool = False
) -> tuple[Value, ...]:
    """X with `A X = B`, or `X A = B`; the factors beside it stay there."""
    if left:
        return (ops.linalg.solve(a, b),)
    turned = ops.linalg.solve(ops.swapaxes(a, -1, -2), ops.swapaxes(b, -1, -2))
    return (ops.swapaxes(turned, -1, -2),)


READERS: Mapping[str, Reader | Typed] = {
    "aten._linalg_det": lambda x: (ops.linalg.det(x),),
    "aten._linalg_solve_ex": solve,
    "aten.linalg_cholesky_ex": cholesky,
    "aten.linalg_inv_ex": inverse,
}
