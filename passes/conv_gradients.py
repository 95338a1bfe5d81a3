"""conv-gradients: transposed convolutions, which gradients are, as convolutions.

    conv_transpose(x, w)  ->  conv(x, flipped w)

In steps of `s`, each remainder of a result's place has taps of its own: one convolution for each,
whose results lie between one another. The weight's gradient reads an image padded before.

    conv_weight_gradient(x, dy) {padding}  ->  conv_weight_gradient(pad(x), dy)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from ..ir import Function, Value, rewrite, rewrite_all
from ..ops.conv import Conv
from ..ops.conv_gradient import ConvWeightGradient
from ..ops.conv_transpose import ConvTranspose
from ..ops.creation import zeros
from ..ops.elementwise import emit
from ..ops.join import concat
from ..ops.shape import expand_dims, reshape, transpose
from ..ops.slice import flip, pad, slice_axes
from ..ops.table import TABLE
from ..ops.windows import order_of


def conv_gradients(fn: Function) -> Function:
    """Write out channels-last transposed convolutions of one group, and pad images once."""
    return rewrite_all(fn, PATTERNS, TABLE, fuel=1)


@rewrite(ConvWeightGradient)
def pad_image_once(op: ConvWeightGradient) -> Value | None:
    """conv_weight_gradient(x, dy) {padding}  ->  conv_weight_gradient(pad(x), dy)"""
    if op.layout == "nchw" or not any(low or high for low, high in op.padding):
        return None
    widths = ((0, 0), (0, 0), *op.padding)
    padded = pad(op.x, [widths[axis] for axis in order_of(op.layout, op.x.rank)])
    return emit(replace(op, x=padded, padding=((0, 0),) * len(op.padding)))


@dataclass(frozen=True)
class _Part:
    """Along one axis, the results whose place has one remainder: `count` of them, the `taps` that
    reach them in the order of a convolution, and the padding it takes."""

    count: int
    taps: range
    padding: tuple[int, int]


@rewrite(ConvTranspose)
def as_convolutions(op: ConvTranspose) -> Value | None:
    """conv_transpose(x, w)  ->  conv(x, flipped w), or one for each remainder of the steps"""
    plain = op.layout == "nhwc" and op.groups == 1 and set(op.dilations) == {1}
    if not plain or not op.x.type.is_static or not op.infer().elements:
        return None
    sizes = op.infer().static_shape[1:-1]
    along = [_parts(op, axis, size) for axis, size in enumerate(sizes)]
    made = {
        place: _conv(op, [parts[at] for parts, at in zip(along, place, strict=True)])
        for place in product(*(range(step) for step in op.strides))
    }
    return _between(made, (), op.strides, sizes)


def _parts(op: ConvTranspose, axis: int, size: int) -> list[_Part]:
    """Result `s * q + r` has the sum over taps `t` of element `q + (r + low - t) / s`, where that
    is whole."""
    taps, step = op.weight.type.static_shape[2 + axis], op.strides[axis]
    low, _ = op.padding[axis]
    (inner,) = op.x.type.static_shape[1 + axis : 2 + axis]
    found = []
    for remainder in range(step):
        count = -(-(size - remainder) // step)
        own = range((remainder + low) % step, taps, step)
        if not own or count <= 0:
            found.append(_Part(max(0, count), range(0), (0, 0)))
            continue
        # The last tap, the first of the convolution, reads this element for the first result.
        first = (remainder + low - own[-1]) // step
        high = first + count + len(own) - 1 - inner
        found.append(_Part(count, own[::-1], (-first, high)))
    return found


def _conv(op: ConvTranspose, parts: Sequence[_Part]) -> Value:
    """The results of one remainder along each axis."""
    shape = (op.x.shape[0], *(part.count for part in parts), op.infer().shape[-1])
    if not all(part.taps and part.count for part in parts):
        return zeros(shape, op.x.dtype)
    order = (1, 0, *range(2, op.weight.rank))
    weight = transpose(_taps(op.weight, [part.taps for part in parts]), order)
    cut = tuple((min(0, low), min(0, high)) for low, high in (part.padding for part in parts))
    x = pad(op.x, ((0, 0), *cut, (0, 0)))
    padding = tuple((max(0, low), max(0, high)) for low, high in (part.padding for part in parts))
    ones = (1,) * len(parts)
    return emit(Conv(x, weight, ones, padding, ones, layout="nhwc"))


def _taps(weight: Value, taps: Sequence[range]) -> Value:
    """Some taps of a weight along each axis, the last first."""
    starts = [entry[-1] for entry in taps]
    steps = [-entry.step for entry in taps]
    out, inner = weight.shape[:2]
    kept = slice_axes(
        weight, (0, 0, *starts), (out, inner, *map(len, taps)), (1, 1, *steps)
    )
    return flip(kept, tuple(range(2, weight.rank)))


def _between(
    made: dict[tuple[int, ...], Value],
    place: tuple[int, ...],
    strides: Sequence[int],
    sizes: Sequence[int],
) -> Value:
    """Results of all remainders in their places, the first axes being at `place`."""
    axis = len(place)
    if axis == len(strides):
        return made[place]
    step, size = strides[axis], sizes[axis]
    rows = [_between(made, (*place, at), strides, sizes) for at in range(step)]
    if step == 1:
        return rows[0]
    longest = rows[0].type.static_shape[1 + axis]
    widths = [(0, 0)] * rows[0].rank
    even = []
    for row in rows:
        widths[1 + axis] = (0, longest - row.type.static_shape[1 + axis])
        even.append(expand_dims(pad(row, widths), axis + 2))
    joined = concat(even, axis + 2)
    shape = list(rows[0].shape)
    shape[1 + axis] = longest * step
    whole = reshape(joined, shape)
    widths[1 + axis] = (0, size - longest * step)
    return pad(whole, widths)


PATTERNS = (pad_image_once, as_convolutions)
