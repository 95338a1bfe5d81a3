"""Pooling over the spatial axes of `(batch, channels, *size)`."""

from __future__ import annotations

from typing import ClassVar

from ...errors import UnsupportedError, check
from ...ir import Value
from ...ops import average_pool, global_average_pool, max_pool
from .module import Module

# A number for all spatial axes, or one for each.
PerAxis = int | tuple[int, ...]


class _MaxPool(Module):
    """The largest element of each window; `stride` is the kernel size if not given."""

    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: PerAxis = 0
    dilation: PerAxis = 1
    ceil_mode: bool = False

    spatial: ClassVar[int]

    def forward(self, x: Value) -> Value:
        _check_rank(self, x, self.spatial)
        return max_pool(
            x,
            self.kernel_size,
            strides=self.stride,
            padding=self.padding,
            dilations=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of `(batch, channels, width)`."""

    spatial = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window of `(batch, channels, height, width)`."""

    spatial = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window of `(batch, channels, depth, height, width)`."""

    spatial = 3


class _AvgPool(Module):
    """The mean of each window; `stride` is the kernel size if not given."""

    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: PerAxis = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    spatial: ClassVar[int]

    def forward(self, x: Value) -> Value:
        _check_rank(self, x, self.spatial)
        return average_pool(
            x,
            self.kernel_size,
            strides=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class AvgPool1d(_AvgPool):
    """The mean of each window of `(batch, channels, width)`."""

    spatial = 1


class AvgPool2d(_AvgPool):
    """The mean of each window of `(batch, channels, height, width)`."""

    spatial = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of `(batch, channels, depth, height, width)`."""

    spatial = 3


def _check_rank(layer: Module, x: Value, spatial: int) -> None:
    message = f"{type(layer).__name__} takes rank {spatial + 2}, got {x.type}"
    check(x.rank == spatial + 2, message)


class AdaptiveAvgPool2d(Module):
    """The means of `output_size` equal parts of each axis; 1 is the mean of all.

    `UnsupportedError` where an axis does not divide into equal parts.
    """

    output_size: int | tuple[int, int] = 1

    def forward(self, x: Value) -> Value:
        if self.output_size in (1, (1, 1)):
            return global_average_pool(x)
        parts = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        kernel: list[int] = []
        for extent, count in zip(x.shape[-2:], parts, strict=True):
            if not isinstance(extent, int) or count < 1 or extent % count:
                raise UnsupportedError(
                    f"AdaptiveAvgPool2d of {extent} elements into {count} parts, which are not "
                    "equal; nn.AvgPool2d takes any windows"
                )
            kernel.append(extent // count)
        return average_pool(x, kernel)
