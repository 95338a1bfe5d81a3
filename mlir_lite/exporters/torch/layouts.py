"""Images as torch's calls take them: channels first, padded alike at both ends of an axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...ir import Scalar
from ...ops.windows.windows import LAYOUTS, Padding
from .site import Tensor


def channels_first(x: Tensor, layout: str) -> Tensor:
    """A view of an image of any layout; torch's calls see from the strides how it lies."""
    return x if layout == "nchw" else torch.movedim(x, LAYOUTS[layout], (0, 1))


def in_layout(x: Tensor, layout: str) -> Tensor:
    """Back from channels first."""
    return x if layout == "nchw" else torch.movedim(x, (0, 1), LAYOUTS[layout])


def padded(x: Tensor, padding: Padding) -> tuple[Tensor, list[int]]:
    """The image, and the padding that is left to the call; what is uneven is added before."""
    if all(low == high for low, high in padding):
        return x, [low for low, _ in padding]
    return added(x, padding), [0] * len(padding)


def added(x: Tensor, padding: Padding, value: Scalar = 0) -> Tensor:
    """The image with its padding."""
    widths = [width for pair in reversed(padding) for width in pair]  # the last axis first
    return F.pad(x, widths, value=value)
