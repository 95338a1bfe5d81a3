"""pack-constants: constant weights of products and convolutions are packed in panels, once; those
of convolutions that come at run time, as in training, each time.

matmul x, %w  ->  panel_matmul x, pack_columns(%w);   conv x, %w  ->  panel_conv pad(x), pack(%w)

A convolution reads its input element by element: that of a few channels is read as it lies.

conv transpose(x), %w  ->  panel_conv pad(x), pack(%w) {layout = "nchw"}

One that looks at some single pixels is a product of these, copied together, where a row has too few
of them to hide how the weights arrive.

conv x, %w {strides = [2, 2]}  ->  panel_matmul barrier(slice(x)), pack_columns(%w)

Few columns have a panel each, along whose terms vectors lie, where that is less work.

On a graphics card there is one panel, and the convolution does the padding.

Narrow ones, which instructions of the target sum several products of, have their own panels (see
`narrow_products`).
"""

from __future__ import annotations

from math import prod

from ...ir import Constant, Function, Value, current_builder, rewrite, rewrite_all
from ...ir.rewrite import Pattern
from ...ops.algorithms.depthwise import by_tap, depthwise_conv
from ...ops.algorithms.panels import pack_columns, pack_filters, panel_conv, panel_matmul
from ...ops.products.matmul import Matmul
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.shape import Transpose, reshape, transpose
from ...ops.shapes.slice import pad, slice_axes
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...ops.windows.windows import order_of
from ...sizes import static
from ...target import Target
from ..schedule.cost.lanes import sees_padding, worth_summing_lanes
from ..schedule.cost.model import PACKED_ROWS, panel_width
from ..schedule.cost.register_tiles import ProductSizes
from ..schedule.cost.windows import worth_gathering, worth_reading_first
from .narrow_products import pack_conv_dots, pack_matmul_dots


def pack_constants(fn: Function, *, target: Target) -> Function:
    """Choose panel widths by the register tile that the target's figures give."""
    narrow = [pack_matmul_dots(target), pack_conv_dots(target)]
    return rewrite_all(fn, [*narrow, pack_matmul(target), pack_conv(target)], TABLE, fuel=1)


def pack_matmul(target: Target) -> Pattern:
    """The pattern that packs constant matrices in panels as wide as the target's register tile."""
    @rewrite(Matmul)
    def pack(op: Matmul) -> Value | None:
        """matmul(x, w)  ->  panel_matmul(x, pack_columns(w)), of constant matrices w"""
        return packed_product(op, target) if isinstance(op.rhs.op, Constant) else None

    return pack


def packed_product(op: Matmul, target: Target) -> Value | None:
    """The product by its second factor in panels; None where there is nothing to be packed."""
    if op.lhs.dtype != op.rhs.dtype or not op.lhs.type.is_static:
        return None
    *batch, depth, columns = op.rhs.type.static_shape
    if batch and op.lhs.shape[:-2] != tuple(batch):
        return None
    rows = prod(op.lhs.type.static_shape[len(batch) : -1])
    if 0 in (rows, depth, columns):
        return None
    if target.gpu is not None and columns % target.lanes(op.rhs.dtype) == 0:
        return None  # one panel, as it stands
    sizes = ProductSizes(rows, depth, columns, op.rhs.dtype, prod(batch))
    packed = pack_columns(op.rhs, _width(sizes, depth, target))
    return panel_matmul(op.lhs, packed, columns)


def _width(sizes: ProductSizes, run: int, target: Target) -> int:
    """Columns of a panel: one where the lanes of vectors are the `run` of terms that lie together.
    """
    return 1 if worth_summing_lanes(sizes, run, target) else panel_width(sizes, target)


def _worth_packing(op: Conv) -> bool:
    """Whether filters that come at run time are packed each time: where rows enough meet them."""
    pixels = prod(static(op.infer().shape)[:-1])
    return op.weight.dtype.is_float and pixels >= PACKED_ROWS


def pack_conv(target: Target) -> Pattern:
    """The pattern that packs filters in panels, those of depthwise convolutions tap by tap; filters
    that come at run time, too, if many pixels meet them."""
    @rewrite(Conv)
    def pack(op: Conv) -> Value | None:
        """conv(x, w)  ->  panel_conv(pad(x), pack_filters(w)) or depthwise_conv, channels-last"""
        if op.layout != "nhwc" or not op.x.type.is_static or not op.x.type.elements:
            return None
        if not isinstance(op.weight.op, Constant) and not _worth_packing(op):
            return None
        out, per_group, *kernel = op.weight.type.static_shape
        if per_group == 1 and out == op.groups:
            return depthwise_conv(op.x, by_tap(op.weight), op.strides, op.padding, op.dilations)
        if op.groups != 1 or op.x.dtype != op.weight.dtype:
            return None
        result = static(op.infer().shape)
        rows = result[-2] if kernel != [1] * len(kernel) else prod(result[:-1])
        depth = per_group * prod(kernel)
        windows = prod(result[:-1]) // max(1, rows)
        if kernel == [1] * len(kernel) and _gathers(op, target):
            return packed_product(_product_of_gathered(op), target)
        sizes = ProductSizes(rows, depth, out, op.weight.dtype, windows=windows)
        width = _width(sizes, per_group, target)
        x, layout = _input(op, target) if width > 1 else (op.x, "nhwc")
        # What a card copies outside of the image is zero.
        if target.gpu is not None or (width == 1 and _sees_padding(op, sizes, target)):
            padding = op.padding
        else:
            widths = ((0, 0), (0, 0), *op.padding)
            x = pad(x, [widths[axis] for axis in order_of(layout, x.rank)])
            padding = ()
        filters = pack_filters(op.weight, width)
        return panel_conv(x, filters, out, op.strides, op.dilations, layout, padding)

    return pack


def _sees_padding(op: Conv, sizes: ProductSizes, target: Target) -> bool:
    """Whether a convolution whose sums are vectors leaves the padding out by itself; a parameter
    lies anywhere, all else where lines of the cache begin."""
    aligned = op.x.op is not None
    return sees_padding(sizes, max(op.padding[-1]), aligned, target)


def _gathers(op: Conv, target: Target) -> bool:
    """Whether the pixels that a convolution of single ones sees are copied together first."""
    *images, row, channels = static(op.infer().shape)
    inner = op.weight.type.static_shape[1]
    sizes = ProductSizes(row, inner, channels, op.weight.dtype, windows=prod(images))
    padded = any(low or high for low, high in op.padding)
    return target.gpu is None and not padded and worth_gathering(sizes, target)


def _product_of_gathered(op: Conv) -> Matmul:
    out, inner, *_ = op.weight.type.static_shape
    sizes = (*op.infer().shape[:-1], inner)
    seen = slice_axes(op.x, [0] * op.x.rank, sizes, (1, *op.strides, 1))
    (gathered,) = current_builder().emit(Barrier(seen))  # in the product it would be no copy
    return Matmul(gathered, transpose(reshape(op.weight, (out, inner)), (1, 0)))


def _input(op: Conv, target: Target) -> tuple[Value, str]:
    """The input of a channels-last convolution, and its layout: channels-first where it lies so and
    is well read so."""
    match op.x.op:
        case Transpose(x=first, perm=perm) if (
            perm == order_of("nhwc", first.rank) and worth_reading_first(first.type, target)
        ):
            return first, "nchw"
    return op.x, "nhwc"
