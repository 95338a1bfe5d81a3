"""Systems of equations and factors of matrices."""

from __future__ import annotations

from collections.abc import Mapping

from .... import ops
from ....errors import UnsupportedError, check
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


def solve_triangular(
    a: Value, b: Value, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Value:
    """X with `A X = B`, or `X A = B`, of a triangle."""
    if not left:
        turned = (ops.swapaxes(side, -1, -2) for side in (a, b))
        x = solve_triangular(*turned, upper=not upper, unitriangular=unitriangular)
        return ops.swapaxes(x, -1, -2)
    return ops.linalg.triangular_solve(a, b, lower=not upper, unit_diagonal=unitriangular)


def eigh(x: Value, half: str = "L", compute_v: bool = True) -> tuple[Value, Value]:
    """Eigenvalues and eigenvectors of a symmetric matrix, of which a half is looked at."""
    return ops.linalg.eigh(ops.swapaxes(x, -1, -2) if half == "U" else x)


def qr(x: Value, mode: str = "reduced") -> tuple[Value, Value]:
    """Orthogonal columns and an upper triangle."""
    check(mode == "reduced", f"the mode '{mode}'", UnsupportedError)
    return ops.linalg.qr(x)


def svd(
    x: Value, full_matrices: bool = False, compute_uv: bool = True, **_: object
) -> tuple[Value, Value, Value]:
    """Singular values between two matrices of orthogonal vectors."""
    return ops.linalg.svd(x, full_matrices=full_matrices)


READERS: Mapping[str, Reader | Typed] = {
    "aten._linalg_det": lambda x: (ops.linalg.det(x),),
    "aten._linalg_eigh": eigh,
    "aten._linalg_slogdet": ops.linalg.slogdet,
    "aten._linalg_solve_ex": solve,
    "aten._linalg_svd": svd,
    "aten.linalg_cholesky_ex": cholesky,
    "aten.linalg_inv_ex": inverse,
    "aten.linalg_qr": qr,
    "aten.linalg_solve_triangular": solve_triangular,
}
