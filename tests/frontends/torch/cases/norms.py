"""Normalisations, in evaluation and in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import HALF, Calls, p, r

A = torch.ops.aten


def _batch_norm(training: bool) -> Callable[..., Any]:
    """With all that there is for the gradient, and the running statistics."""
    return lambda x, w, c, m, s: A._native_batch_norm_legit_functional(
        x, w, c, m, s, training, 0.1, 1e-5
    )


CALLS: Calls = {
    "norms": [
        (lambda x, w, c: F.layer_norm(x, (4,), w, c), (r(2, 3, 4), r(4), r(4))),
        (lambda x: F.layer_norm(x, (3, 4)), (r(2, 3, 4),)),
        (lambda x, w: F.rms_norm(x, (4,), w, 1e-6), (r(2, 4), r(4))),
        (lambda x: F.rms_norm(x, (4,)), (r(2, 4),)),
        (lambda x, w, c: F.group_norm(x, 2, w, c), (r(2, 4, 5), r(4), r(4))),
        (lambda x: F.instance_norm(x), (r(2, 3, 4, 5),)),
        (lambda x, m, s: F.instance_norm(x, m, s, use_input_stats=False), (r(2, 3, 5), r(3), p(3))),
        (lambda x, m, s, w, c: F.batch_norm(x, m, s, w, c), (r(2, 3, 4), r(3), p(3), r(3), r(3))),
        (lambda x, m, s: F.batch_norm(x, m, s), (r(2, 3), r(3), p(3))),
        (lambda x: F.local_response_norm(x, 2), (r(2, 4, 5),)),
        (lambda x, w: A.native_layer_norm(x, [4], w, None, 1e-5), (r(2, 4), r(4))),
        (lambda x, w: A.native_group_norm(x, w, None, 2, 4, 5, 2, 1e-5), (r(2, 4, 5), r(4))),
        (_batch_norm(True), (r(2, 3, 4), r(3), r(3), r(3), p(3))),
        (_batch_norm(False), (r(2, 3, 4), r(3), r(3), r(3), p(3))),
        (lambda x: A._native_batch_norm_legit(x, None, None, True, 0.1, 1e-5), (r(2, 3, 4),)),
        # Of halves torch's kernels and its tracing give statistics of different types.
        (
            lambda x, w, c, m, s: _batch_norm(True)(x, w, c, m, s)[0],
            (r(2, 3, 4, dtype=HALF), r(3), r(3), r(3), p(3)),
        ),
        (
            lambda x, w: A.native_layer_norm(x, [4], w, None, 1e-5)[0],
            (r(2, 4, dtype=HALF), r(4, dtype=HALF)),
        ),
        (
            lambda x, w: A.native_group_norm(x, w, None, 2, 4, 5, 2, 1e-5)[0],
            (r(2, 4, 5, dtype=HALF), r(4)),
        ),
        (lambda x, w: A._fused_rms_norm(x, [4], w, 1e-5)[0], (r(2, 4), r(4))),
    ],
}
