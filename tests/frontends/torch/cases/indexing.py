"""Places that tensors tell, and orders."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import Calls, b, i, r, v

A = torch.ops.aten

CALLS: Calls = {
    "indices": [
        (lambda t, x: F.embedding(x, t), (r(5, 3), i(5, 2, 4))),
        (lambda x, n: x.index_select(1, n), (r(2, 5), i(5, 3))),
        (lambda x, n: x.gather(1, n), (r(3, 5), i(5, 2, 4))),
        (lambda x, n: torch.take_along_dim(x, n, 1), (r(2, 5), i(5, 2, 2))),
        (lambda x, n: x[n], (r(5, 3), i(5, 2, 4, low=-5))),
        (lambda x, n: x[:, n], (r(2, 5, 3), i(5, 4))),
        (lambda x, n: x[n], (r(5, 3), v(2)[0])),
        (lambda x, n: x * n.item(), (r(5, 3), v(2)[0])),
        (lambda x, n, k: x[n, k], (r(5, 3, 2), i(5, 4), i(3, 4))),
        (lambda x, n, k: x[:, n, k], (r(2, 5, 3), i(5, 4), i(3, 1))),
        (lambda x, n, k: x[n, :, k], (r(5, 2, 3), i(5, 4), i(3, 4))),
        (lambda x, n: A._unsafe_index(x, [n]), (r(5, 3), i(5, 4))),
        (lambda x, n, y: x.index_put((n,), y), (r(5, 3), v(0, 3), r(2, 3))),
        (lambda x, n, y: x.index_put((n,), y, accumulate=True), (r(5, 3), v(0, 3, 3), r(3))),
        (lambda x, n, k, y: x.index_put((n, k), y), (r(5, 3), v(0, 3), v(1, 2), r(2))),
        (lambda x, n, y: A.index_put(x, [None, n], y), (r(2, 5), v(0, 3), r(2, 2))),
        (
            lambda x, n, k, y: A.index_put(x, [n, None, k], y),
            (r(5, 2, 3), v(0, 3), v(1, 2), r(2, 2)),
        ),
        (lambda x, m, y: x.index_put((m,), y), (r(4, 3), b(4), v(2.5)[0])),
        (lambda x, n, y: A._unsafe_index_put(x, [n], y), (r(5, 3), v(0, 3), r(2, 3))),
        (lambda x, n, y: x.index_add(0, n, y), (r(5, 3), v(0, 3, 3), r(3, 3))),
        (lambda x, n, y: x.index_copy(0, n, y), (r(5, 3), v(0, 3), r(2, 3))),
        (lambda x, n: x.index_fill(0, n, 0.5), (r(5, 3), v(0, 3))),
        (lambda x, n, y: x.scatter(1, n, y), (r(2, 5), v(0, 3)[None], r(2, 3))),
        (lambda x, n: x.scatter(1, n, 2.5), (r(2, 5), v(0, 3)[None])),
        (lambda x, n, y: x.scatter(1, n, y, reduce="add"), (r(2, 5), v(0, 3, 3)[None], r(2, 3))),
        (lambda x, n, y: x.scatter_add(1, n, y), (r(2, 5), v(0, 3, 3)[None], r(2, 3))),
        (lambda x, n, y: x.scatter_reduce(1, n, y, "amax"), (r(2, 5), v(0, 3, 3)[None], r(2, 3))),
        (lambda x: F.one_hot(x, 5).float(), (i(5, 2, 3),)),
        (lambda x, y: torch.isin(x, y), (i(5, 6), i(5, 2))),
        (lambda x, y: torch.bucketize(x, y), (r(4), v(-1.0, 0.0, 0.5))),
        (lambda x, y: torch.searchsorted(y, x), (r(4), v(-1.0, 0.0, 0.5))),
    ],
    "orders": [
        (lambda x: torch.sort(x), (r(3, 5),)),
        (lambda x: torch.sort(x, 0, descending=True), (r(3, 5),)),
        (lambda x: torch.sort(x, stable=True, dim=1), (i(4, 3, 5),)),
        (lambda x: torch.argsort(x, 1), (r(3, 5),)),
        (lambda x: torch.topk(x, 2), (r(3, 5),)),
        (lambda x: torch.topk(x, 2, 0, largest=False), (r(3, 5),)),
        (lambda x: torch.median(x), (r(5),)),
        (lambda x: torch.median(x, 1), (r(2, 5),)),
        (lambda x: torch.kthvalue(x, 2, 1), (r(2, 5),)),
    ],
}
