"""Pooling over the last two axes of `(batch, channels, height, width)`."""

from __future__ import annotations

from ...errors import UnsupportedError
from ...ir import Value
from ...ops import average_pool, global_average_pool, max_pool
from .module import Module

# A number for both axes, or one for each.
Pair = int | tuple[int, int]


class MaxPool2d(Module):
    """The largest element of each window; `stride` is the kernel size if not given."""

    kernel_size: Pair
    stride: Pair | None = None
    padding: Pair = 0
    dilation: Pair = 1
    ceil_mode: bool = False

    def forward(self, x: Value) -> Value:
        return max_pool(
            x,
            self.kernel_size,
            strides=self.stride,
            padding=self.padding,
            dilations=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class AvgPool2d(Module):
    """The mean of each window; `stride` is the kernel size if not given."""

    kernel_size: Pair
    stride: Pair | None = None
    padding: Pair = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def forward(self, x: Value) -> Value:
        return average_pool(
            x,
            self.kernel_size,
            strides=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class AdaptiveAvgPool2d(Module):
    """The means of `output_size` equal parts of each axis; 1 is the mean of all.

    `UnsupportedError` where an axis does not divide into equal parts.
    """

    output_size: Pair = 1

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
