"""Gradients that torch has as operators of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from frontends.torch.cases.tensors import Calls, r

A = torch.ops.aten


def _of_convolution(
    stride: list[int], padding: list[int], dilation: list[int], groups: int, back: Any = None
) -> Callable[..., Any]:
    """The three gradients; `back` is the padding of the result of a transposed one."""
    steps = stride, padding, dilation, back is not None, back or [0, 0], groups, [True] * 3
    return lambda dy, x, w: A.convolution_backward(dy, x, w, [dy.shape[1]], *steps)


def _of_max_pool(*window: Any) -> Callable[..., Any]:
    """The gradient of the largest in windows: of two axes, or of three."""
    name = f"max_pool{len(window[0])}d_with_indices"
    forward, backward = getattr(A, name), getattr(A, f"{name}_backward")
    return lambda dy, x: backward(dy, x, *window, forward(x, *window)[1])


CALLS: Calls = {
    "gradients of windows": [
        (_of_convolution([2, 1], [1, 0], [1, 2], 2), (r(2, 4, 4, 3), r(2, 6, 7, 7), r(4, 3, 3, 3))),
        (
            _of_convolution([2, 2], [1, 1], [1, 1], 1, back=[1, 1]),
            (r(2, 4, 8, 6), r(2, 3, 4, 3), r(3, 4, 3, 3)),
        ),
        (
            lambda dy, x, w: A.convolution_backward(
                dy, x, w, [3], [1], [0], [1], False, [0], 1, [False, True, False]
            )[1],
            (r(2, 3, 5), r(2, 2, 7), r(3, 2, 3)),
        ),
        (_of_max_pool([3, 2], [2, 2], [1, 1], [1, 2], True), (r(2, 3, 5, 4), r(2, 3, 8, 7))),
        (_of_max_pool([2, 2], [], [0, 0], [1, 1], False), (r(3, 2, 3), r(3, 4, 7))),
        (_of_max_pool([2, 3, 2], [1, 2, 2], [0, 1, 0], [1] * 3, False),
         (r(1, 2, 3, 2, 2), r(1, 2, 4, 4, 5))),
        (
            lambda dy, x: A.avg_pool2d_backward(dy, x, [3, 3], [2, 2], [1, 1], True, False, None),
            (r(2, 3, 5, 4), r(2, 3, 8, 7)),
        ),
        (
            lambda dy, x: A.avg_pool2d_backward(dy, x, [2, 2], [], [0, 0], False, True, 3),
            (r(3, 2, 3), r(3, 4, 7)),
        ),
        (
            lambda dy, x: A.avg_pool3d_backward(dy, x, [2], [2], [0], False, True, None),
            (r(1, 2, 2, 2, 2), r(1, 2, 4, 4, 5)),
        ),
        (A._adaptive_avg_pool2d_backward, (r(2, 3, 2, 3), r(2, 3, 5, 6))),
        (A._adaptive_avg_pool2d_backward, (r(2, 3, 1, 1), r(2, 3, 5, 6))),
        (A._adaptive_avg_pool3d_backward, (r(1, 2, 2, 2, 1), r(1, 2, 4, 5, 3))),
    ],
}
