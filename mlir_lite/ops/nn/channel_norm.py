"""Normalisations of channels, or of groups of them, written with other operations."""

from __future__ import annotations

from ...errors import check
from ...ir import Operand, Value
from ..base.body import computing_type
from ..base.cast import cast
from ..base.elements import emit
from ..base.promote import as_value
from ..elementwise.unary import square
from ..shapes.shape import reshape
from ..windows.pool import AveragePool
from .norm import layer_norm


def group_norm(
    x: Operand,
    groups: int,
    scale: Operand | None = None,
    bias: Operand | None = None,
    *,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise over groups of channels and all spatial axes (Wu, He 2018).

    `x` is `(batch, channels, *size)`; `scale` and `bias` have one element per channel.
    """
    value = as_value(x)
    check(value.rank >= 2, f"takes a batch of channels, not {value.type}")
    channels = value.shape[1]
    check(groups > 0 and channels % groups == 0, f"{channels} channels in {groups} groups")
    split = (value.shape[0], groups, channels // groups, *value.shape[2:])
    y = reshape(layer_norm(reshape(value, split), axis=2, epsilon=epsilon), value.shape)
    apart = (channels, *(1,) * (value.rank - 2))
    y = y if scale is None else y * reshape(scale, apart)
    return y if bias is None else y + reshape(bias, apart)


def instance_norm(
    x: Operand,
    scale: Operand | None = None,
    bias: Operand | None = None,
    *,
    epsilon: float = 1e-5,
) -> Value:
    """Normalise each channel of each sample over its spatial axes (Ulyanov et al. 2016)."""
    value = as_value(x)
    check(value.rank >= 3, f"takes a batch of channels of spatial axes, not {value.type}")
    channels = value.shape[1]
    check(isinstance(channels, int), f"the number of channels, {channels}, must be known")
    assert isinstance(channels, int)
    return group_norm(value, channels, scale, bias, epsilon=epsilon)


def local_response_norm(
    x: Operand, size: int, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Value:
    """`x / (bias + alpha / size * squares)^beta`, `squares` being the sum over the `size` channels
    around (Krizhevsky et al. 2012).

    An even `size` has one more channel above than below, as in ONNX (in torch one more below).
    """
    value = as_value(x)
    check(value.rank >= 3, f"takes a batch of channels of spatial axes, not {value.type}")
    check(size > 0, f"{size} channels around")
    below = (size - 1) // 2
    wide = cast(value, computing_type(value.dtype))
    squares = reshape(square(wide), (value.shape[0], 1, value.shape[1], -1))
    around = AveragePool(
        squares,
        (size, 1),
        (1, 1),
        ((below, size - 1 - below), (0, 0)),
        (1, 1),
        count_include_pad=True,
    )
    means = reshape(emit(around), value.shape)
    return cast(wide / (means * alpha + bias) ** beta, value.dtype)
