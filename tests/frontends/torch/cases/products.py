"""Products of matrices, and factorisations."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import NAN, Calls, p, r, v

CALLS: Calls = {
    "products": [
        (torch.mm, (r(2, 3), r(3, 4))),
        (torch.bmm, (r(5, 2, 3), r(5, 3, 4))),
        (torch.mv, (r(2, 3), r(3))),
        (torch.dot, (r(3), r(3))),
        (torch.vdot, (r(3), r(3))),
        (torch.outer, (r(3), r(4))),
        (torch.matmul, (r(2, 1, 3, 4), r(5, 4, 2))),
        (torch.matmul, (r(3), r(2, 3, 4))),
        (F.linear, (r(2, 5, 3), r(4, 3), r(4))),
        (F.linear, (r(5, 3), r(4, 3))),
        (F.linear, (r(5, 3), r(3))),
        (lambda x, y, z: torch.addmm(x, y, z, beta=0.5, alpha=2), (r(4), r(2, 3), r(3, 4))),
        (lambda x, y, z: torch.addmm(x, y, z, beta=0), (v(NAN), r(2, 3), r(3, 4))),
        (torch.baddbmm, (r(5, 2, 4), r(5, 2, 3), r(5, 3, 4))),
        (torch.addmv, (r(2), r(2, 3), r(3))),
        (torch.addr, (r(2, 3), r(2), r(3))),
        (torch.addbmm, (r(2, 4), r(5, 2, 3), r(5, 3, 4))),
        (lambda x, y: torch.einsum("bij,bjk->bik", x, y), (r(5, 2, 3), r(5, 3, 4))),
        (lambda x, y: torch.einsum("bhid,bhjd->bhij", x, y), (r(2, 2, 3, 4), r(2, 2, 5, 4))),
        (lambda x, y: torch.tensordot(x, y, 1), (r(2, 3), r(3, 4))),
        (F.bilinear, (r(2, 3), r(2, 4), r(5, 3, 4), r(5))),
        (lambda x, y: torch.cdist(x, y), (r(2, 3), r(4, 3))),
        (torch.linalg.det, (r(3, 3),)),
        (torch.linalg.inv, (r(3, 3),)),
        (torch.linalg.solve, (r(3, 3), r(3, 2))),
        (lambda a, x: torch.linalg.solve(a, x, left=False), (r(3, 3), r(2, 3))),
        (lambda x: torch.linalg.slogdet(x), (r(3, 3),)),
        (lambda x: torch.linalg.eigh(x)[0], (r(3, 3),)),
        (lambda x: torch.linalg.eigh(x, "U")[1].abs(), (r(3, 3),)),
        (lambda x: torch.linalg.svd(x, full_matrices=False)[1], (r(4, 3),)),
        (lambda x: torch.linalg.svdvals(x), (r(4, 3),)),
        (lambda x: torch.linalg.qr(x)[1].abs(), (r(4, 3),)),
        (lambda a, x: torch.linalg.solve_triangular(a, x, upper=True), (p(3, 3), r(3, 2))),
        (
            lambda a, x: torch.linalg.solve_triangular(
                a, x, upper=False, left=False, unitriangular=True
            ),
            (p(3, 3), r(2, 3)),
        ),
        (lambda x: torch.linalg.cholesky(x @ x.mT + torch.eye(3, dtype=x.dtype)), (r(3, 3),)),
    ],
}
