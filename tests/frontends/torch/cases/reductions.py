"""Sums, extremes and softmax."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import HALF, INF, SPECIAL, Calls, b, i, r, v

A = torch.ops.aten

CALLS: Calls = {
    "sums": [
        (torch.sum, (r(2, 3),)),
        (lambda x: x.sum(1), (r(2, 3),)),
        (lambda x: x.sum((0, 2), keepdim=True), (r(2, 3, 4),)),
        (torch.sum, (i(5, 2, 3, dtype=torch.int32),)),
        (torch.sum, (b(4),)),
        (lambda x: x.sum(1, dtype=torch.float64), (r(2, 3),)),
        (torch.mean, (r(2, 3),)),
        (lambda x: x.mean((1, 2)), (r(2, 3, 4),)),
        (lambda x: x.mean(0, dtype=torch.float32), (i(5, 3, 2),)),
        (torch.prod, (r(2, 3),)),
        (lambda x: x.prod(1), (i(4, 2, 3),)),
        (torch.var, (r(2, 3),)),
        (lambda x: x.var(1, unbiased=False), (r(2, 3),)),
        (lambda x: x.std(1, keepdim=True), (r(2, 3),)),
        (lambda x: torch.var_mean(x, 1), (r(2, 3),)),
        (lambda x: x.cumsum(1), (r(2, 3),)),
        (lambda x: x.cumsum(0), (b(4),)),
        (lambda x: x.cumprod(1), (r(2, 3),)),
        (lambda x: torch.norm(x), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, 1, 1), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, INF, 1), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, 3, 1, keepdim=True), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, 0, 1), (v(0.0, 1.0, 0.0)[None],)),
        (lambda x: F.normalize(x, dim=1), (r(2, 3),)),
        (lambda x: torch.logsumexp(x, 1), (r(2, 3),)),
        (lambda x: torch.count_nonzero(x, 1), (i(2, 2, 3),)),
        (lambda x: torch.nansum(x), (SPECIAL[-3:] * 0,)),
        (lambda x: torch.trace(x), (r(3, 3),)),
    ],
    "extremes": [
        (torch.max, (r(2, 3),)),
        (torch.min, (i(9, 2, 3),)),
        (torch.max, (r(2, 3), r(3))),
        (torch.min, (r(2, 3), r(3))),
        (lambda x: torch.max(x, 1), (r(2, 3),)),
        (lambda x: torch.min(x, 0, keepdim=True), (r(2, 3),)),
        (lambda x: x.amax((0, 1)), (r(2, 3),)),
        (lambda x: x.amin(1), (r(2, 3),)),
        (lambda x: x.amax(0), (b(3, 4),)),
        (lambda x: torch.aminmax(x, dim=1), (r(2, 3),)),
        (torch.argmax, (r(2, 3),)),
        (lambda x: x.argmax(1), (r(2, 3),)),
        (lambda x: x.argmin(0, keepdim=True), (r(2, 3),)),
        (torch.any, (b(2, 3),)),
        (lambda x: x.any(1), (r(2, 3) > 1,)),
        (lambda x: x.all(0), (i(3, 2, 3),)),
        (torch.all, (i(3, 3, dtype=torch.uint8),)),
    ],
    "softmax": [
        (lambda x: x.softmax(-1), (r(2, 3),)),
        (lambda x: F.softmax(x, 0, dtype=torch.float32), (r(2, 3, dtype=HALF),)),
        (lambda x: F.log_softmax(x, 1), (r(2, 3),)),
        (lambda x: F.softmin(x, 1), (r(2, 3),)),
        (lambda x: x.softmax(0), (v(2.0)[0],)),
        (lambda x: A._softmax(x, 1, False), (r(2, 3),)),
        (lambda x: A._log_softmax(x, 1, False), (r(2, 3),)),
        (
            lambda x: A._safe_softmax(x, 1),
            (torch.stack([r(3), torch.full((3,), -INF)]),),
        ),
    ],
}
