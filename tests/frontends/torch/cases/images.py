"""Images resampled."""

from __future__ import annotations

import torch.nn.functional as F

from frontends.torch.cases.tensors import Calls, r

CALLS: Calls = {
    "images": [
        (lambda x: F.interpolate(x, scale_factor=2), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, (5, 7)), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, 7, mode="linear"), (r(1, 2, 4),)),
        (lambda x: F.interpolate(x, (5, 7), mode="nearest-exact"), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), (r(1, 2, 5, 7),)),
        (lambda x: F.interpolate(x, (6, 5), mode="bilinear", align_corners=True), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, (6, 5), mode="bicubic"), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, (3, 4, 5), mode="trilinear"), (r(1, 2, 2, 3, 4),)),
        (lambda x: F.interpolate(x, 5), (r(1, 2, 3),)),
        (lambda x: F.interpolate(x, (2, 4, 3)), (r(1, 2, 1, 2, 2),)),
        (lambda x: F.interpolate(x, 5, mode="nearest-exact"), (r(1, 2, 3),)),
        (lambda x: F.interpolate(x, (2, 4, 3), mode="nearest-exact"), (r(1, 2, 1, 2, 2),)),
        (lambda x, g: F.grid_sample(x, g, align_corners=False), (r(1, 2, 4, 5), r(1, 3, 3, 2) / 2)),
        (
            lambda x, g: F.grid_sample(x, g, "nearest", "border", True),
            (r(1, 2, 4, 5), r(1, 3, 3, 2) / 2),
        ),
        (
            lambda x, g: F.grid_sample(x, g, align_corners=False),
            (r(1, 2, 3, 4, 5), r(1, 2, 2, 2, 3) / 2),
        ),
        (lambda x: F.pixel_shuffle(x, 2), (r(1, 8, 2, 3),)),
        (lambda x: F.pixel_unshuffle(x, 2), (r(1, 2, 4, 6),)),
        (lambda x: F.channel_shuffle(x, 2), (r(1, 4, 2, 3),)),
    ],
}
