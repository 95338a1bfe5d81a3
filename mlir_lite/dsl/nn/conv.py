"""Convolutions over `(batch, channels, *size)`, with torch's parameter names and layouts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from ...errors import check
from ...ir import Value
from ...ops import conv, conv_transpose
from ...types import DType, f32
from .initialisers import fan_in_uniform
from .module import Module, Parameter

# A number for all spatial axes, or one for each.
PerAxis = int | tuple[int, ...]


def per_axis(entry: PerAxis, count: int, what: str) -> tuple[int, ...]:
    """The numbers for `count` spatial axes."""
    entries = (entry,) * count if isinstance(entry, int) else tuple(entry)
    check(len(entries) == count, f"{what} has {len(entries)} numbers for {count} spatial axes")
    return entries


class _Convolution(Module):
    """What the convolutions share: their fields, and a bias for each output channel."""

    in_channels: int
    out_channels: int
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PerAxis | str = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    dtype: DType = f32

    spatial: ClassVar[int]

    def own_parameters(self) -> Mapping[str, Parameter]:
        for what, channels in (("input", self.in_channels), ("output", self.out_channels)):
            divides = self.groups > 0 and channels % self.groups == 0
            check(divides, f"{channels} {what} channels do not divide into {self.groups} groups")
        kernel = per_axis(self.kernel_size, self.spatial, "the kernel size")
        first, second = self._channels()
        initial = fan_in_uniform(second * math.prod(kernel))
        weight = Parameter(self.dtype[(first, second, *kernel)], initial)
        if not self.bias:
            return {"weight": weight}
        return {"weight": weight, "bias": Parameter(self.dtype[self.out_channels], initial)}

    def _channels(self) -> tuple[int, int]:
        """The first two sizes of the weight."""
        return self.out_channels, self.in_channels // self.groups

    def _padding(self) -> str | tuple[int, ...]:
        if isinstance(self.padding, str):
            return self.padding
        return per_axis(self.padding, self.spatial, "the padding")

    def _bias(self) -> Value | None:
        return self.own("bias") if self.bias else None

    def forward(self, x: Value) -> Value:
        return conv(
            x,
            self.own("weight"),
            self._bias(),
            strides=per_axis(self.stride, self.spatial, "the stride"),
            padding=self._padding(),
            dilations=per_axis(self.dilation, self.spatial, "the dilation"),
            groups=self.groups,
        )


class Conv1d(_Convolution):
    """`(batch, in, width)`; `weight` is `(out, in / groups, taps)`."""

    spatial = 1


class Conv2d(_Convolution):
    """`(batch, in, height, width)`; `weight` is `(out, in / groups, kh, kw)`."""

    spatial = 2


class Conv3d(_Convolution):
    """`(batch, in, depth, height, width)`; `weight` is `(out, in / groups, kd, kh, kw)`."""

    spatial = 3


class _Transposed(_Convolution):
    """A convolution's gradient, to upsample; `weight` is `(in, out / groups, *taps)`.

    `output_padding` adds elements at the high ends, to choose among the sizes that the stride
    leaves open.
    """

    output_padding: PerAxis = 0

    def _numbers(self) -> PerAxis:
        named = isinstance(self.padding, str)
        check(not named, f"the padding of {type(self).__name__} is numbers, not {self.padding!r}")
        return 0 if isinstance(self.padding, str) else self.padding

    def _channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups

    def forward(self, x: Value) -> Value:
        return conv_transpose(
            x,
            self.own("weight"),
            self._bias(),
            strides=per_axis(self.stride, self.spatial, "the stride"),
            padding=per_axis(self._numbers(), self.spatial, "the padding"),
            output_padding=per_axis(self.output_padding, self.spatial, "the output padding"),
            dilations=per_axis(self.dilation, self.spatial, "the dilation"),
            groups=self.groups,
        )


class ConvTranspose1d(_Transposed):
    """`(batch, in, width)`; `weight` is `(in, out / groups, taps)`."""

    spatial = 1


class ConvTranspose2d(_Transposed):
    """`(batch, in, height, width)`; `weight` is `(in, out / groups, kh, kw)`."""

    spatial = 2


class ConvTranspose3d(_Transposed):
    """`(batch, in, depth, height, width)`; `weight` is `(in, out / groups, kd, kh, kw)`."""

    spatial = 3
