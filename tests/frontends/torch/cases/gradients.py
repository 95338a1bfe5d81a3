"""Gradients that torch has as operators of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from frontends.torch.cases.tensors import Call, Calls, i, r

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


def _of_adaptive_max_pool(rank: int, size: list[int]) -> Callable[..., Any]:
    """The gradient of the largest in so many windows."""
    forward, backward = (getattr(A, f"adaptive_max_pool{rank}d{end}") for end in ("", "_backward"))
    return lambda dy, x: backward(dy, x, forward(x, size)[1])


def _of_weight_norm(dim: int) -> Callable[..., Any]:
    """The gradient of weights with lengths of their own along an axis."""

    def call(dw: Any, v: Any, g: Any) -> Any:
        norms = A._weight_norm_interface(v, g, dim)[1]
        return A._weight_norm_interface_backward(dw, v, g, norms, dim)

    return call


def _of_border(name: str, pads: list[int], *shape: int) -> Call:
    """The gradient of a border around images of this shape."""
    around = [low + high for low, high in zip(pads[::2], pads[1::2], strict=True)][::-1]
    before = len(shape) - len(around)
    padded = [*shape[:before], *map(sum, zip(shape[before:], around, strict=True))]
    backward = getattr(A, f"{name}_backward")
    return lambda dy, x: backward(dy, x, pads), (r(*padded), r(*shape))


def _of_resampling(name: str, sizes: list[int], wanted: list[int], *rest: Any) -> Call:
    """The gradient of images of these sizes resampled to the sizes wanted."""
    backward = getattr(A, f"{name}_backward")
    return lambda dy: backward(dy, wanted, [2, 3, *sizes], *rest), (r(2, 3, *wanted),)


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
    "gradients of adaptive pools": [
        (_of_adaptive_max_pool(2, [2, 3]), (r(2, 3, 2, 3), r(2, 3, 5, 6))),
        (_of_adaptive_max_pool(2, [1, 4]), (r(3, 1, 4), r(3, 5, 6))),
        (_of_adaptive_max_pool(2, [2, 2]), (r(1, 2, 2, 2), i(2, 1, 2, 5, 5, dtype=torch.float32))),
        (_of_adaptive_max_pool(3, [2, 2, 1]), (r(1, 2, 2, 2, 1), r(1, 2, 4, 5, 3))),
    ],
    "gradients of norms of weights": [
        (_of_weight_norm(0), (r(4, 3, 2), r(4, 3, 2), r(4, 1, 1))),
        (_of_weight_norm(2), (r(4, 3, 2), r(4, 3, 2), r(1, 1, 2))),
    ],
    "gradients of borders": [
        _of_border("reflection_pad1d", [1, 2], 2, 3, 4),
        _of_border("reflection_pad2d", [3, 1, 2, 1], 2, 3, 3, 4),
        _of_border("reflection_pad3d", [0, 1, 2, 0, 1, 0], 2, 3, 4, 3),
        _of_border("replication_pad1d", [5, 0], 2, 3, 4),
        _of_border("replication_pad2d", [3, 1, 2, 1], 2, 3, 3, 4),
        _of_border("replication_pad3d", [0, 1, 2, 0, 1, 0], 2, 3, 4, 3),
    ],
    "gradients of resampling": [
        _of_resampling("upsample_nearest1d", [4], [7]),
        _of_resampling("upsample_nearest2d", [3, 4], [6, 8], 2.0, 2.0),
        _of_resampling("upsample_nearest2d", [3, 9], [7, 5]),
        _of_resampling("upsample_nearest3d", [2, 3, 3], [4, 6, 3]),
        _of_resampling("_upsample_nearest_exact1d", [4], [7]),
        _of_resampling("_upsample_nearest_exact2d", [3, 9], [7, 5]),
        _of_resampling("_upsample_nearest_exact3d", [2, 3, 3], [4, 5, 3]),
        _of_resampling("upsample_linear1d", [4], [7], False),
        _of_resampling("upsample_bilinear2d", [3, 4], [6, 8], False, 2.0, 2.0),
        _of_resampling("upsample_bilinear2d", [3, 9], [7, 5], True),
        _of_resampling("upsample_bicubic2d", [3, 4], [6, 8], False),
        _of_resampling("upsample_trilinear3d", [2, 3, 3], [4, 5, 3], True),
    ],
}
