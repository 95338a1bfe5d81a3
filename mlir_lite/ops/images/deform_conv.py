"""Deformable convolutions: each tap of the filter reads where an offset says."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...errors import check
from ...ir import Operand, Value
from ...sizes import static
from ..base.cast import cast
from ..base.promote import as_value, check_kind, check_same_dtype
from ..products.matmul import matmul
from ..shapes.creation import iota
from ..shapes.shape import expand_dims, reshape
from ..windows.conv import add_channels
from ..windows.windows import Windows, padding_pairs, per_axis, windows_of
from .grid_sample import Tap, linear_taps, sampled


def deform_conv(
    x: Operand,
    weight: Operand,
    offset: Operand,
    mask: Operand | None = None,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    dilations: int | Sequence[int] = 1,
    groups: int = 1,
) -> Value:
    """The convolution of `x (n, c, h, w)` by `weight (o, c / groups, kh, kw)`, in which tap
    `(i, j)` of output `(p, q)` reads at its place moved by `offset` and scaled by `mask`.

    Zhu et al., "Deformable ConvNets v2" (2018), as torchvision's and ONNX's. `offset` is
    `(n, g * kh * kw * 2, p, q)` of (down, right) in pixels for each tap of each of `g` groups of
    channels, `mask` `(n, g * kh * kw, p, q)`, `bias` `(o,)`. Between pixels is linear
    interpolation, beyond the image are zeros. There may be any number of such axes.
    """
    value, filters, moves = as_value(x), as_value(weight), as_value(offset)
    check_kind(value, "f")
    check_same_dtype(value, filters, moves)
    count = value.rank - 2
    check(count >= 1, f"an image has axes for the batch, channels and others; not {value.type}")
    check(filters.rank == value.rank, f"the weight has rank {filters.rank}, x {value.rank}")
    check(moves.rank == value.rank, f"the offset has rank {moves.rank}, x {value.rank}")
    batch, channels, *sizes = static(value.shape)
    outputs, per_group, *kernel = static(filters.shape)
    alike = channels == per_group * groups and outputs % groups == 0
    check(alike, f"{channels} channels and a weight {filters.type} in {groups} groups")
    windows = windows_of(
        sizes,
        kernel,
        per_axis(strides, count),
        padding_pairs(padding, count),
        per_axis(dilations, count),
    )
    out = static(tuple(window.count for window in windows))
    taps = prod(kernel)
    parts, rest = divmod(static(moves.shape)[1], taps * count)
    fits = moves.shape == (batch, parts * taps * count, *out) and rest == 0
    check(
        fits and parts > 0 and channels % parts == 0,
        f"the offset is {moves.type}; expected (batch, groups * {taps * count}, outputs) = "
        f"({batch}, …, {', '.join(map(str, out))}), its groups dividing {channels} channels",
    )
    places = reshape(moves, (batch * parts, taps, count, *out))
    images = reshape(value, (batch * parts, channels // parts, *sizes))
    read = sampled(images, _taps(places, windows))
    if mask is not None:
        scale = as_value(mask)
        wanted = (batch, parts * taps, *out)
        check(scale.shape == wanted, f"the mask is {scale.type}; expected the shape {wanted}")
        read = read * reshape(scale, (batch * parts, 1, taps, *out))
    columns = reshape(read, (batch, groups, per_group * taps, prod(out)))
    rows = reshape(filters, (groups, outputs // groups, per_group * taps))
    return add_channels(reshape(matmul(rows, columns), (batch, outputs, *out)), bias, "nchw")


def _taps(offsets: Value, windows: Windows) -> list[list[Tap]]:
    """Along each axis the two pixels that each tap reads, of offsets `(n, taps, axes, ..)`."""
    kernel = [window.taps for window in windows]
    found = []
    for axis, window in enumerate(windows):
        own = [1] * (2 * len(windows))
        own[axis] = window.taps
        at_tap = reshape(iota(window.taps) * window.dilation - window.low, own)
        own = [1] * (2 * len(windows))
        own[len(windows) + axis] = static((window.count,))[0]
        at_output = reshape(iota(own[len(windows) + axis]) * window.stride, own)
        moved = offsets[:, :, axis]
        split = (moved.shape[0], *kernel, *moved.shape[2:])
        place = reshape(moved, split) + cast(expand_dims(at_tap + at_output, 0), moved.dtype)
        found.append(linear_taps(reshape(place, moved.shape), window.known_size, whole=False))
    return found
