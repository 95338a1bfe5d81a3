"""Normalisations, with torch's parameter names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...errors import check
from ...ir import Value
from ...ops import (
    batch_norm,
    batch_norm_training,
    group_norm,
    instance_norm,
    layer_norm,
    ones_like,
    rms_norm,
)
from ...ops import sum as sum_
from ...types import DType, f32
from .initialisers import filled
from .module import Module, Parameter


class _BatchNorm(Module):
    """Normalises each channel by its running statistics (Ioffe, Szegedy 2015).

    In training by those of the batch, of which `momentum` goes into the running ones: the mean and
    the unbiased variance.
    """

    num_features: int
    eps: float = 1e-5
    momentum: float = 0.1
    dtype: DType = f32

    ranks: ClassVar[tuple[int, ...]]

    def own_parameters(self) -> Mapping[str, Parameter]:
        type_ = self.dtype[self.num_features]
        return {
            "weight": Parameter(type_, filled(1)),
            "bias": Parameter(type_, filled(0)),
            "running_mean": Parameter(type_, filled(0), trained=False),
            "running_var": Parameter(type_, filled(1), trained=False),
        }

    def forward(self, x: Value) -> Value:
        ranks = " or ".join(map(str, self.ranks))
        check(x.rank in self.ranks, f"{type(self).__name__} takes rank {ranks}, got {x.type}")
        weight, bias = self.own("weight"), self.own("bias")
        mean, variance = self.own("running_mean"), self.own("running_var")
        if not self.training:
            return batch_norm(x, weight, bias, mean, variance, epsilon=self.eps)
        y, batch_mean, batch_variance = batch_norm_training(x, weight, bias, epsilon=self.eps)
        self.update("running_mean", self._moved(mean, batch_mean))
        # As of a sample: divided by n - 1, which a batch of one element a channel does not allow.
        count = sum_(ones_like(x), (0, *range(2, x.rank)))
        self.update("running_var", self._moved(variance, batch_variance * (count / (count - 1))))
        return y

    def _moved(self, running: Value, new: Value) -> Value:
        return running * (1 - self.momentum) + new * self.momentum


class BatchNorm1d(_BatchNorm):
    """Over `(batch, channels)` or `(batch, channels, width)`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Over `(batch, channels, height, width)`."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Over `(batch, channels, depth, height, width)`."""

    ranks = (5,)


class _InstanceNorm(Module):
    """Normalises each channel of each sample over its spatial axes (Ulyanov et al., 2016); without
    running statistics, as by default in torch. `affine` gives it `weight` and `bias`."""

    num_features: int
    eps: float = 1e-5
    affine: bool = False
    dtype: DType = f32

    spatial: ClassVar[int]

    def own_parameters(self) -> Mapping[str, Parameter]:
        type_ = self.dtype[self.num_features]
        if not self.affine:
            return {}
        return {"weight": Parameter(type_, filled(1)), "bias": Parameter(type_, filled(0))}

    def forward(self, x: Value) -> Value:
        fits = x.rank == self.spatial + 2 and x.shape[1] == self.num_features
        wanted = f"rank {self.spatial + 2} with {self.num_features} channels"
        check(fits, f"{type(self).__name__} takes {wanted}, got {x.type}")
        weight, bias = (self.own("weight"), self.own("bias")) if self.affine else (None, None)
        return instance_norm(x, weight, bias, epsilon=self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Over the width of `(batch, channels, width)`."""

    spatial = 1


class InstanceNorm2d(_InstanceNorm):
    """Over height and width of `(batch, channels, height, width)`."""

    spatial = 2


class InstanceNorm3d(_InstanceNorm):
    """Over the space of `(batch, channels, depth, height, width)`."""

    spatial = 3


class LayerNorm(Module):
    """To mean 0 and variance 1 over the last axes, whose sizes are `normalized_shape`."""

    normalized_shape: int | tuple[int, ...]
    eps: float = 1e-5
    bias: bool = True
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        type_ = self.dtype[self.normalized_shape]
        weight = {"weight": Parameter(type_, filled(1))}
        return weight | {"bias": Parameter(type_, filled(0))} if self.bias else weight

    def forward(self, x: Value) -> Value:
        weight = self.own("weight")
        bias = self.own("bias") if self.bias else None
        return layer_norm(x, weight, bias, axis=-weight.rank, epsilon=self.eps)


class RMSNorm(Module):
    """To mean square 1 over the last axes; `eps` is the type's machine epsilon if not given."""

    normalized_shape: int | tuple[int, ...]
    eps: float | None = None
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        return {"weight": Parameter(self.dtype[self.normalized_shape], filled(1))}

    def forward(self, x: Value) -> Value:
        weight = self.own("weight")
        epsilon = float(np.finfo(self.dtype.numpy).eps) if self.eps is None else self.eps
        return rms_norm(x, weight, axis=-weight.rank, epsilon=epsilon)


class GroupNorm(Module):
    """To mean 0 and variance 1 over each group of channels and all spatial axes."""

    num_groups: int
    num_channels: int
    eps: float = 1e-5
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        type_ = self.dtype[self.num_channels]
        return {"weight": Parameter(type_, filled(1)), "bias": Parameter(type_, filled(0))}

    def forward(self, x: Value) -> Value:
        weight, bias = self.own("weight"), self.own("bias")
        return group_norm(x, self.num_groups, weight, bias, epsilon=self.eps)
