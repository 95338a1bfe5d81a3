"""Operations of `torch.linalg`, by cuSOLVER on cards and LAPACK elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...ir import Op
from ...ops.linalg import spectral, systems
from .site import Call, Tensor, plain, with_op


def _solve(op: systems.Solve, a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.solve(torch.transpose(a, -1, -2) if op.transpose else a, b)


def _triangular_solve(op: systems.TriangularSolve, a: Tensor, b: Tensor) -> Tensor:
    matrix = torch.transpose(a, -1, -2) if op.transpose else a
    return torch.linalg.solve_triangular(
        matrix, b, upper=op.lower == op.transpose, unitriangular=op.unit_diagonal
    )


def _pinv(op: spectral.Pinv, x: Tensor) -> Tensor:
    return torch.linalg.pinv(x, rtol=op.rcond)


CALLS: Mapping[type[Op], Call] = {
    systems.Cholesky: plain(torch.linalg.cholesky),
    systems.Solve: with_op(_solve),
    systems.TriangularSolve: with_op(_triangular_solve),
    systems.Inverse: plain(torch.linalg.inv),
    systems.Det: plain(torch.linalg.det),
    systems.Slogdet: plain(torch.linalg.slogdet),
    spectral.Qr: plain(torch.linalg.qr),
    spectral.Eigh: plain(torch.linalg.eigh),
    spectral.Svd: with_op(lambda op, x: torch.linalg.svd(x, full_matrices=op.full_matrices)),
    spectral.Pinv: with_op(_pinv),
}
