"""Constant weights of narrow products, packed for instructions that sum several of them at once.

matmul x, %w  ->  dot_matmul pad(x), pack_dots(%w);   conv x, %w  ->  dot_conv pad(x), pack(%w)
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ...ir import Constant, Value, rewrite
from ...ir.rewrite import Pattern
from ...ops.algorithms.dots import dot_conv, dot_matmul, pack_dot_filters, pack_dots
from ...ops.base.body import computing_type
from ...ops.base.cast import cast
from ...ops.products.matmul import Matmul
from ...ops.shapes.shape import Transpose, transpose
from ...ops.shapes.slice import Pad, pad
from ...ops.windows.conv import Conv
from ...ops.windows.windows import order_of
from ...sizes import static
from ...target import Target
from ...tile.instructions.table import dot_instruction
from ...types import DType
from ..schedule.cost.matrix_tiles import (
    MatrixSizes,
    matrix_panel,
    padded_depth,
    uses_matrices,
)
from ..schedule.cost.model import panel_width
from ..schedule.cost.register_tiles import ProductSizes
from ..schedule.cost.windows import worth_reading_first


def pack_matmul_dots(target: Target) -> Pattern:
    """The pattern that packs constant matrices for instructions that sum neighbours."""
    @rewrite(Matmul)
    def pack(op: Matmul) -> Value | None:
        """matmul(x, w)  ->  dot_matmul(pad(x), pack_dots(w)), of constant narrow matrices w"""
        if not isinstance(op.rhs.op, Constant):
            return None
        total = op.infer().dtype
        product = matmul_by_dots(op.lhs, op.rhs, computing_type(total), target)
        return None if product is None else cast(product, total)

    return pack


def pack_conv_dots(target: Target) -> Pattern:
    """The pattern that packs constant filters for instructions that sum neighbours."""
    @rewrite(Conv)
    def pack(op: Conv) -> Value | None:
        """conv(x, w)  ->  dot_conv(pad(x), pack_dot_filters(w)), of constant narrow filters w"""
        if not isinstance(op.weight.op, Constant):
            return None
        total = op.infer().dtype
        result = conv_by_dots(op, op.x, op.weight, computing_type(total), target)
        return None if result is None else cast(result, total)

    return pack


def matmul_by_dots(lhs: Value, rhs: Value, wide: DType, target: Target) -> Value | None:
    """The product of narrow matrices, its sums of the type `wide`; None where the target has no
    instruction for it, or the sizes do not suit."""
    together = summed_together(lhs.dtype, rhs.dtype, wide, target)
    if together is None or not lhs.type.is_static:
        return None
    *batch, depth, columns = rhs.type.static_shape
    if batch and lhs.shape[:-2] != tuple(batch):
        return None
    rows = prod(lhs.type.static_shape[len(batch) : -1])
    if not rows or not columns:
        return None
    needed = -(-depth // together)
    sizes = ProductSizes(rows, needed, columns, wide, prod(batch), narrow=rhs.dtype)
    blocks = _terms(sizes, needed, target)
    sizes = replace(sizes, depth=blocks)
    x = pad(lhs, [*((0, 0),) * (lhs.rank - 1), (0, blocks * together - depth)])
    more = (0, (blocks - needed) * together)
    filled = pad(rhs, [*((0, 0),) * (rhs.rank - 2), more, (0, 0)])
    packed = pack_dots(filled, _panel(sizes, blocks, target), together)
    return dot_matmul(x, packed, columns)


def conv_by_dots(
    conv: Conv, x: Value, weight: Value, wide: DType, target: Target
) -> Value | None:
    """A convolution of a narrow input by narrow filters, its windows those of `conv`, its sums of
    the type `wide`; None where the target has no instruction for it, or it does not suit."""
    together = summed_together(x.dtype, weight.dtype, wide, target)
    if together is None or conv.layout != "nhwc" or conv.groups != 1:
        return None
    if not x.type.is_static or not x.type.elements:
        return None
    _, inner, *kernel = weight.type.static_shape
    along = static(conv.infer().shape)[-3] if len(kernel) > 1 else 1
    pairs, taps = -(-inner // together), -(-kernel[-1] // together)
    by_channels, by_taps = prod(kernel) * pairs, inner * prod(kernel[:-1]) * taps
    first = _lying_first(x, target)
    if first is not None and conv.dilations[-1] == 1 and by_taps <= by_channels:
        sizes = _sizes(conv, by_taps, wide, weight)
        packed = pack_dot_filters(_rows_last(weight), _panel(sizes, taps, target, along), together)
        padded = _padded_rows(conv, first, sizes.rows, together)
        return dot_conv(padded, packed, sizes.columns, conv.strides, conv.dilations, "nchw")
    terms = _terms(_sizes(conv, by_channels, wide, weight), pairs, target)
    sizes = _sizes(conv, prod(kernel) * terms, wide, weight)
    padded = _padded(x, [(0, 0), *conv.padding, (0, terms * together - inner)])
    more = (0, (terms - pairs) * together)
    filled = pad(weight, [(0, 0), more, *((0, 0),) * len(kernel)])
    packed = pack_dot_filters(filled, _panel(sizes, terms, target, along), together)
    return dot_conv(padded, packed, sizes.columns, conv.strides, conv.dilations)


def _terms(sizes: ProductSizes, terms: int, target: Target) -> int:
    """How many elements of sums lie side by side: where they are multiplied in matrix registers, a
    few more than needed, so that equal steps divide them."""
    return padded_depth(terms) if uses_matrices(sizes, target) else terms


def _panel(sizes: ProductSizes, terms: int, target: Target, along: int = 1) -> int:
    """Columns of the panels of a product, of whose sums so many terms lie side by side, and windows
    follow one another."""
    if uses_matrices(sizes, target):
        return matrix_panel(MatrixSizes(sizes, terms, along), target)
    return panel_width(sizes, target)


def _rows_last(weight: Value) -> Value:
    """Filters whose taps of a row stand where channels do: these are summed together."""
    return transpose(weight, (0, weight.rank - 1, *range(1, weight.rank - 1)))


def _padded_rows(conv: Conv, first: Value, windows: int, together: int) -> Value:
    """Channels-first images with the padding of `conv` around them, and room beside the last of
    the `windows` of a row for the taps that fill up a sum."""
    taps = static(conv.weight.shape)[-1]
    reach = (windows - 1) * conv.strides[-1] + taps + -taps % together
    *others, (low, high) = conv.padding
    high = max(high, reach - low - static(first.shape)[-1])
    return _padded(first, [(0, 0), (0, 0), *others, (low, high)])


def _sizes(conv: Conv, depth: int, wide: DType, weight: Value) -> ProductSizes:
    """The problem that a convolution is, each sum of `depth` steps."""
    *windows, rows, columns = static(conv.infer().shape)
    return ProductSizes(rows, depth, columns, wide, windows=prod(windows), narrow=weight.dtype)


def _lying_first(x: Value, target: Target) -> Value | None:
    """The channels-first images that `x` is a transpose of, padded as it is; None where there are
    none, or these are not well read so."""
    match x.op:
        case Transpose(x=first, perm=perm) if (
            perm == order_of("nhwc", first.rank) and worth_reading_first(first.type, target)
        ):
            return first
        case Pad(x=inner, mode="constant", value=value, low=low, high=high):
            found = _lying_first(inner, target)
            if found is None:
                return None
            widths = list(zip(low, high, strict=True))
            return pad(found, [widths[0], widths[-1], *widths[1:-1]], value=value)
    return None


def summed_together(left: DType, right: DType, total: DType, target: Target) -> int | None:
    """How many products of two such elements an instruction of the target adds to a total at
    once; None where it has none for them."""
    found = dot_instruction(total, left, right)
    if found is None or found.name not in target.dot_instructions:
        return None
    return found.params[-1].shape[-1]


def _padded(x: Value, widths: list[tuple[int, int]]) -> Value:
    """`x` with zeros around it, in one step with what is around it already: the added channels meet
    zeros only, so it does not matter what they hold."""
    *around, channels = widths
    match x.op:
        case Pad(x=inner, mode="constant", value=value) if not any(map(any, around)):
            low, high = list(x.op.low), list(x.op.high)
            high[-1] = high[-1] + channels[1]
            return pad(inner, list(zip(low, high, strict=True)), value=value)
    return pad(x, widths)
