"""Convolutions and pools."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import Calls, r

A = torch.ops.aten

CALLS: Calls = {
    "convolutions": [
        (lambda x, w, c: F.conv1d(x, w, c, stride=2, padding=1), (r(2, 3, 9), r(4, 3, 3), r(4))),
        (lambda x, w: F.conv2d(x, w, padding=1, dilation=2), (r(2, 4, 9, 8), r(6, 4, 3, 3))),
        (lambda x, w: F.conv2d(x, w, groups=2), (r(2, 4, 7, 7), r(6, 2, 3, 2))),
        (lambda x, w: F.conv2d(x, w, padding="same"), (r(1, 2, 5, 6), r(3, 2, 3, 4))),
        (lambda x, w: F.conv2d(x, w), (r(2, 5, 6), r(3, 2, 3, 3))),
        (F.conv3d, (r(1, 2, 4, 5, 6), r(3, 2, 2, 3, 3), r(3))),
        (lambda x, w, c: F.conv_transpose1d(x, w, c, stride=2), (r(2, 3, 5), r(3, 4, 3), r(4))),
        (
            lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1, groups=2),
            (r(2, 4, 5, 5), r(4, 3, 3, 3)),
        ),
        (lambda x, w: F.conv_transpose3d(x, w), (r(1, 2, 3, 3, 3), r(2, 2, 2, 2, 2))),
    ],
    "pools": [
        (lambda x: F.max_pool1d(x, 3, 2, 1), (r(2, 3, 9),)),
        (lambda x: F.max_pool2d(x, 3, 2, 1), (r(2, 3, 9, 8),)),
        (lambda x: F.max_pool2d(x, (2, 3), ceil_mode=True), (r(2, 9, 8),)),
        (lambda x: F.max_pool2d(x, 2, dilation=2), (r(1, 2, 9, 8),)),
        (lambda x: F.max_pool3d(x, 2), (r(1, 2, 4, 4, 5),)),
        (lambda x: A.max_pool2d_with_indices(x, [2, 2])[0], (r(1, 2, 4, 5),)),
        (lambda x: A.max_pool3d_with_indices(x, [2])[0], (r(1, 2, 4, 4, 5),)),
        (lambda x: F.avg_pool1d(x, 3, 2, 1), (r(2, 3, 9),)),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (r(2, 3, 8, 8),)),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), (r(3, 9, 8),)),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), (r(2, 3, 4, 4),)),
        (lambda x: F.avg_pool3d(x, 2), (r(1, 2, 4, 4, 5),)),
        (lambda x: F.adaptive_avg_pool1d(x, 3), (r(2, 3, 7),)),
        (lambda x: F.adaptive_avg_pool2d(x, 1), (r(2, 3, 5, 4),)),
        (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), (r(2, 3, 4, 6),)),
        (lambda x: F.adaptive_avg_pool2d(x, (3, None)), (r(3, 7, 5),)),
        (lambda x: F.adaptive_avg_pool3d(x, (2, 2, 1)), (r(1, 2, 4, 5, 3),)),
        (lambda x: A._adaptive_avg_pool2d(x, [2, 2]), (r(1, 2, 5, 4),)),
        (lambda x: A._adaptive_avg_pool3d(x, [1, 2, 2]), (r(1, 2, 3, 5, 4),)),
        (lambda x: F.adaptive_max_pool1d(x, 3), (r(2, 3, 7),)),
        (lambda x: F.adaptive_max_pool2d(x, (1, 3)), (r(2, 3, 5, 7),)),
        (lambda x: F.adaptive_max_pool3d(x, 2), (r(1, 2, 4, 5, 3),)),
        (lambda x: F.unfold(x, (2, 3), dilation=2, padding=1, stride=2), (r(2, 3, 7, 8),)),
        (lambda x: F.fold(x, (4, 5), (2, 2)), (r(2, 12, 12),)),
        (lambda x: x.unfold(1, 3, 2), (r(2, 9, 3),)),
    ],
    "pools with indices": [
        (lambda x: A.adaptive_max_pool2d(x, [2, 3]), (r(2, 3, 5, 7),)),
        (lambda x: A.adaptive_max_pool2d(x, [1, 1]), (r(3, 5, 7),)),
        (lambda x: A.adaptive_max_pool3d(x, [1, 2, 3]), (r(1, 2, 4, 5, 3),)),
        (lambda x: A.max_pool2d_with_indices(x, [3, 2], [2], [1], [1, 2], True), (r(2, 3, 8, 7),)),
        (lambda x: A.max_pool2d_with_indices(x, [2, 2]), (r(2, 4, 5),)),
        (lambda x: A.max_pool3d_with_indices(x, [2]), (r(1, 2, 4, 4, 5),)),
    ],
}
