"""conv-gradients: transposed convolutions, which gradients are, as convolutions.

    conv_transpose(x, w)  ->  conv(x, flipped w)

In steps of `s`, each remainder of a result's place has taps of its own: one convolution for each,
whose results lie between one another; they see parts of one padded input, if they need any. Where
both sides have few channels they are channels-first: vectors are along rows of pixels, not half
empty. Those of one channel each are computed where they lie.

    conv_transpose(x, w)  ->  depthwise_conv_transpose(x, taps of w)

The weight's gradient reads an image padded before, unless each sum sees one channel.

    conv_weight_gradient(x, dy) {padding}  ->  conv_weight_gradient(pad(x), dy)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from math import prod

from ...ir import Function, Value, rewrite, rewrite_all
from ...ir.rewrite import Pattern
from ...ops.algorithms.depthwise import by_tap, depthwise_conv_transpose
from ...ops.base.elements import emit
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.creation import zeros
from ...ops.shapes.join import concat
from ...ops.shapes.shape import Transpose, reshape, transpose
from ...ops.shapes.slice import flip, pad, slice_axes
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...ops.windows.conv_gradient import ConvWeightGradient
from ...ops.windows.conv_transpose import ConvTranspose
from ...ops.windows.windows import order_of
from ...sizes import static
from ...target import Target
from ..schedule.cost.lanes import worth_summing_lanes
from ..schedule.cost.model import decide
from ..schedule.cost.register_tiles import ProductSizes
from ..schedule.cost.taps import taps_fit
from ..schedule.cost.windows import ConvShape, order_cycles, steps_fit, transpose_cycles
from .remainders import Part, margins_of, parts_of


def conv_gradients(fn: Function, *, target: Target) -> Function:
    """Write out channels-last transposed convolutions, and pad images once."""
    return rewrite_all(fn, [pad_images_once(target), as_convolutions(target)], TABLE, fuel=1)


def pad_images_once(target: Target) -> Pattern:
    """The pattern that pads what gradients of weights see, but for those of one channel each whose
    sums stay in registers: their recipe leaves out what is not there."""
    @rewrite(ConvWeightGradient)
    def pad_image(op: ConvWeightGradient) -> Value | None:
        """conv_weight_gradient(x, dy) {padding}  ->  conv_weight_gradient(pad(x), dy)"""
        if op.layout == "nchw" or not any(low or high for low, high in op.padding):
            return None
        alone = op.groups == op.x.shape[-1] == op.dy.shape[-1]
        if alone and taps_fit(prod(op.kernel_size), target):
            return None
        widths = ((0, 0), (0, 0), *op.padding)
        padded = pad(op.x, [widths[axis] for axis in order_of(op.layout, op.x.rank)])
        return emit(replace(op, x=padded, padding=((0, 0),) * len(op.padding)))

    return pad_image


def as_convolutions(target: Target) -> Pattern:
    """The pattern that writes transposed convolutions as plain ones, in whichever order of axes
    costs less on the target."""
    @rewrite(ConvTranspose)
    def convolve(op: ConvTranspose) -> Value | None:
        """conv_transpose(x, w)  ->  conv(x, flipped w), or one for each remainder of the steps"""
        plain = op.layout == "nhwc" and set(op.dilations) == {1}
        if not plain or not op.x.type.is_static or not op.infer().elements:
            return None
        if _are_written_between(op, target):
            return depthwise_conv_transpose(
                op.x, by_tap(op.weight), op.strides, op.padding, op.output_padding
            )
        sizes = op.infer().static_shape[1:-1]
        along = [parts_of(op, axis, size) for axis, size in enumerate(sizes)]
        places = {
            place: [parts[at] for parts, at in zip(along, place, strict=True)]
            for place in product(*map(range, op.strides))
        }
        if op.groups == 1 and _better_first(op, list(places.values()), target):
            x, margins = _channels_first(op, along)
            made = {place: _conv_first(op, x, margins, parts) for place, parts in places.items()}
            y = _between(made, op.strides, sizes, 2)
            return transpose(y, order_of("nhwc", y.rank))
        seen = op
        if op.groups == 1 and len(places) > 1 and not _sum_lanes(op, places.values(), target):
            seen, places = _padded_once(op, along, places)
        made = {place: _conv(seen, parts) for place, parts in places.items()}
        return _between(made, op.strides, sizes, 1)

    return convolve


def _better_first(
    op: ConvTranspose, places: Sequence[Sequence[Part]], target: Target
) -> bool:
    """Whether vectors are better those of a row's pixels than of a pixel's channels, which few
    channels do not fill, even if the input and the result are transposed for that."""
    batch, *_, inner = op.x.type.static_shape
    shapes = [
        ConvShape(
            batch,
            tuple(part.count for part in parts),
            inner,
            op.infer().static_shape[-1],
            prod(len(part.taps) for part in parts),
            op.x.dtype,
        )
        for parts in places
        if all(part.taps and part.count for part in parts)
    ]
    first, last = (
        sum(order_cycles(shape, target, channels_first=order) for shape in shapes)
        for order in (True, False)
    )
    first += transpose_cycles(op.x.type.nbytes + op.infer().nbytes, target)
    # Each remainder waits for a row of every channel, which nothing fetches ahead.
    first += len(shapes) * transpose_cycles(op.x.type.nbytes, target) / 2
    filters = "x".join(map(str, op.weight.type.static_shape))
    steps = "x".join(map(str, op.strides))
    problem = f"transposed conv {op.x.type} by {filters} in steps of {steps}"
    order = decide(problem, "order", {"channels last": last, "channels first": first}, target)
    return order == "channels first"


def _are_written_between(op: ConvTranspose, target: Target) -> bool:
    """Whether results of all remainders are computed together, and so written where they lie: those
    of one channel each, in steps that a tile of windows has whole."""
    inner, per_group, *kernel = op.weight.type.static_shape
    alone = op.groups == inner and per_group == 1
    steps = op.strides
    return alone and prod(steps) > 1 and steps_fit(steps, prod(kernel), target)


def _sum_lanes(op: ConvTranspose, places: Iterable[Sequence[Part]], target: Target) -> bool:
    """Whether convolutions of all remainders are products that leave the padding out by themselves,
    their sums being vectors."""
    inner, outer = op.x.type.static_shape[-1], op.infer().static_shape[-1]
    return all(
        worth_summing_lanes(
            ProductSizes(
                parts[-1].count,
                inner * prod(len(part.taps) for part in parts),
                outer,
                op.x.dtype,
                windows=op.x.type.static_shape[0] * prod(part.count for part in parts[:-1]),
            ),
            inner,
            target,
        )
        for parts in places
        if all(part.taps and part.count for part in parts)
    )


def _padded_once(
    op: ConvTranspose,
    along: Sequence[Sequence[Part]],
    places: dict[tuple[int, ...], list[Part]],
) -> tuple[ConvTranspose, dict[tuple[int, ...], list[Part]]]:
    """The convolution of an input that is padded for all remainders, each of which sees a part."""
    margins, ends = margins_of(along)
    widths = ((0, 0), *zip(margins, ends, strict=True), (0, 0))
    found = {
        place: [
            replace(part, padding=(part.padding[0] - low, part.padding[1] - high))
            for part, low, high in zip(parts, margins, ends, strict=True)
        ]
        for place, parts in places.items()
    }
    return replace(op, x=_apart(pad(op.x, widths))), found


def _conv(op: ConvTranspose, parts: Sequence[Part]) -> Value:
    """The results of one remainder along each axis."""
    if not all(part.taps and part.count for part in parts):
        shape = (op.x.shape[0], *(part.count for part in parts), op.infer().shape[-1])
        return zeros(shape, op.x.dtype)
    starts = [max(0, -part.padding[0]) for part in parts]
    sizes = [
        size - start + min(0, part.padding[1])
        for size, start, part in zip(static(op.x.shape)[1:-1], starts, parts, strict=True)
    ]
    batch, *_, inner = op.x.shape
    x = slice_axes(op.x, (0, *starts, 0), (batch, *sizes, inner))
    padding = tuple((max(0, low), max(0, high)) for low, high in (part.padding for part in parts))
    ones = (1,) * len(parts)
    return emit(Conv(x, _filters(op, parts), ones, padding, ones, op.groups, layout="nhwc"))


def _channels_first(
    op: ConvTranspose, along: Sequence[Sequence[Part]]
) -> tuple[Value, Sequence[int]]:
    """The input channels-first, padded for all remainders at once, and how much at the start."""
    margins, ends = margins_of(along)
    widths = list(zip(margins, ends, strict=True))
    match op.x.op:
        case Transpose(x=first, perm=perm) if perm == order_of("nhwc", first.rank):
            return _apart(pad(first, ((0, 0), (0, 0), *widths))), margins
    padded = _apart(pad(op.x, ((0, 0), *widths, (0, 0))))
    return _apart(transpose(padded, (0, padded.rank - 1, *range(1, padded.rank - 1)))), margins


def _apart(value: Value) -> Value:
    """A value that lies in memory in the order in which it is read again and again."""
    return emit(Barrier(value))


def _conv_first(
    op: ConvTranspose, x: Value, margins: Sequence[int], parts: Sequence[Part]
) -> Value:
    """As `_conv`, of part of the padded input."""
    channels = op.infer().shape[-1]
    if not all(part.taps and part.count for part in parts):
        return zeros((x.shape[0], channels, *(part.count for part in parts)), x.dtype)
    starts = [margin - part.padding[0] for margin, part in zip(margins, parts, strict=True)]
    sizes = [part.count + len(part.taps) - 1 for part in parts]
    part = slice_axes(x, (0, 0, *starts), (*x.shape[:2], *sizes), (1,) * x.rank)
    ones, none = (1,) * len(parts), ((0, 0),) * len(parts)
    return emit(Conv(part, _apart(_filters(op, parts)), ones, none, ones, layout="nchw"))


def _filters(op: ConvTranspose, parts: Sequence[Part]) -> Value:
    """The filters of the taps that reach the results of one remainder."""
    taps = _taps(op.weight, [part.taps for part in parts])
    if op.groups == 1:
        return transpose(taps, (1, 0, *range(2, taps.rank)))
    inner, per_group, *kernel = taps.type.static_shape
    grouped = reshape(taps, (op.groups, inner // op.groups, per_group, *kernel))
    turned = transpose(grouped, (0, 2, 1, *range(3, grouped.rank)))
    return reshape(turned, (op.groups * per_group, inner // op.groups, *kernel))


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
    made: dict[tuple[int, ...], Value], strides: Sequence[int], sizes: Sequence[int], first: int
) -> Value:
    """Results of all remainders in their places, in one pass over them; `first` is the first of
    the axes of images."""
    most = made[(0,) * len(strides)]
    if len(made) == 1:
        return most
    shape = list(most.type.static_shape)
    counts = shape[first : first + len(strides)]
    apart = [part for count in counts for part in (count, 1)]

    def joined(place: tuple[int, ...]) -> Value:
        axis = len(place)
        if axis < len(strides):
            parts = [joined((*place, at)) for at in range(strides[axis])]
            return concat(parts, first + 2 * axis + 1)
        whole = pad(made[place], [
            (0, longest - own)
            for longest, own in zip(shape, made[place].type.static_shape, strict=True)
        ])
        return reshape(whole, (*shape[:first], *apart, *shape[first + len(strides) :]))

    spread = joined(())
    widths = [(0, 0)] * len(shape)
    for axis, (step, size) in enumerate(zip(strides, sizes, strict=True), first):
        shape[axis] *= step
        widths[axis] = (0, size - shape[axis])
    return pad(reshape(spread, shape), widths)
