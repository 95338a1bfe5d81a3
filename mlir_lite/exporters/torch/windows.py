"""Pooling and resampling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import UnsupportedError, check
from ...expr import COMBINERS
from ...ir import Op
from ...ops.images.resize import Interpolation, Resize, ResizeCubic, ResizeLinear, ResizeNearest
from ...ops.windows.pool import AveragePool, MaxPool, Pool
from ...ops.windows.windows import Padding, channels_of, spatial_of
from ...sizes import static
from ...types import Array
from .layouts import added, channels_first, in_layout
from .site import Call, Site, Tensor

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_SUM = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _max_pool(site: Site, op: MaxPool, x: Tensor) -> Tensor:
    rank = _checked_rank(op)
    first = channels_first(x, op.layout)
    if _is_torchs(op):
        y = _MAX[rank](
            first, op.window, op.strides, _lows(op), op.dilations, ceil_mode=op.ceil_mode
        )
    else:
        least = COMBINERS["max"].identity[0](op.x.dtype)
        whole = added(first, _reached(op), least)
        y = _MAX[rank](whole, op.window, op.strides, 0, op.dilations)
    return in_layout(y, op.layout)


def _average_pool(site: Site, op: AveragePool, x: Tensor) -> Tensor:
    """By torch's own where it has such windows, else as sums of windows, divided."""
    rank = _checked_rank(op)
    first = channels_first(x, op.layout)
    if _is_torchs(op) and set(op.dilations) == {1}:
        y = _AVERAGE[rank](
            first, op.window, op.strides, _lows(op), op.ceil_mode, op.count_include_pad
        )
        return in_layout(y, op.layout)
    (channels,) = static((channels_of(op.x.shape, op.layout),))
    ones = site.constant(np.ones((channels, 1, *op.window), op.x.dtype.numpy))
    whole = added(first, _reached(op))
    total = _SUM[rank](whole, ones, None, op.strides, 0, op.dilations, channels)
    return in_layout(total / site.constant(_counts(op)), op.layout)


def _counts(op: AveragePool) -> Array:
    """How many elements count in each window."""
    counted = np.ones((1, 1, *static(spatial_of(op.x.shape, op.layout))))
    reached = _reached(op)
    if op.count_include_pad:
        inside = [
            (low, min(high, end)) for (low, end), (_, high) in zip(reached, op.padding, strict=True)
        ]
        counted = np.pad(counted, ((0, 0), (0, 0), *inside), constant_values=1)
        reached = tuple(
            (0, end - high) for (_, end), (_, high) in zip(reached, inside, strict=True)
        )
    whole = added(torch.from_numpy(counted), reached)
    ones = torch.ones((1, 1, *op.window), dtype=torch.float64)
    counts = _SUM[len(op.window)](whole, ones, None, op.strides, 0, op.dilations)
    array: Array = counts.numpy().astype(op.x.dtype.numpy)
    return array


def _reached(op: Pool) -> Padding:
    """How far windows reach beyond both ends of each axis; so padded, they are all there are."""
    return tuple((window.low, window.excess) for window in op.windows())


def _lows(op: Pool) -> list[int]:
    return [low for low, _ in op.padding]


def _is_torchs(op: Pool) -> bool:
    """Whether torch pads so: alike at both ends, by half a window at most."""
    return all(
        low == high and 2 * low <= taps
        for (low, high), taps in zip(op.padding, op.window, strict=True)
    )


def _checked_rank(op: Pool) -> int:
    rank = len(op.window)
    check(rank in _MAX, f"{op.name} over {rank} axes", UnsupportedError)
    return rank


def _resize_nearest(site: Site, op: ResizeNearest, x: Tensor) -> Tensor:
    matrices = [op.matrix(along) for along in op.samplings()]
    if _is_of_images(op) and all(map(_is_torchs_nearest, matrices[2:])):
        return F.interpolate(x, size=static(op.shape)[2:], mode="nearest")
    for axis, matrix in enumerate(matrices):
        if not _is_identity(matrix):
            x = torch.index_select(x, axis, site.constant(matrix.argmax(1)))
    return x


def _is_torchs_nearest(matrix: Array) -> bool:
    """Whether element i is the one at `i * size / count`, rounded down."""
    count, size = matrix.shape
    return np.array_equal(matrix.argmax(1), np.arange(count) * size // count)


def _is_identity(matrix: Array) -> bool:
    return np.array_equal(matrix, np.eye(len(matrix)))


def _interpolated(site: Site, op: Interpolation, x: Tensor) -> Tensor:
    """By torch's own where it samples so, else by a product with the weights along each axis."""
    mode = _torchs_mode(op)
    if mode is not None:
        aligned = op.coordinates == "align_corners"
        return F.interpolate(x, size=static(op.shape)[2:], mode=mode, align_corners=aligned)
    for axis, along in enumerate(op.samplings()):
        weights = op.matrix(along)
        if not _is_identity(weights):
            matrix = site.constant(weights.T.astype(op.x.dtype.numpy))
            x = torch.movedim(torch.movedim(x, axis, -1) @ matrix, -1, axis)
    return x


def _torchs_mode(op: Interpolation) -> str | None:
    """What torch calls this interpolation, if it has it."""
    if not _is_of_images(op) or op.scales or op.coordinates not in ("half_pixel", "align_corners"):
        return None
    rank = op.x.rank - 2
    match op:
        case ResizeLinear():
            return {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
        case ResizeCubic(coefficient=-0.75, exclude_outside=False) if rank == 2:
            return "bicubic"
    return None


def _is_of_images(op: Resize) -> bool:
    """Whether batch and channels come first, and stay."""
    return 3 <= op.x.rank <= 5 and tuple(op.shape[:2]) == tuple(op.x.shape[:2])


CALLS: Mapping[type[Op], Call] = {
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    ResizeNearest: _resize_nearest,
    ResizeLinear: _interpolated,
    ResizeCubic: _interpolated,
}
