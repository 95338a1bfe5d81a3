"""winograd: 3×3 convolutions of unit stride by fewer multiplications (Lavin and Gray, 2016).

The choice is written on the convolution, then the convolution is written out in three stages:

    conv(x, w) {algorithm = "winograd4"}
      ->  winograd_output(matmul(winograd_input(x), winograd_filter(w)))

or, where that is fewer multiplications, with the last row and column of tiles cut to the image, and
a product for the points that the same tiles then have (`Tiles`):

      ->  %v = winograd_input(x) {cut = true}
          winograd_output(matmul(slice(%v), winograd_filter(w) {points = ..}), ..) {cut = true}

or, where what is between the stages would leave the caches and the filters do not, as one operation
that computes all three for a block of tiles after the other:

      ->  winograd_conv(x, pack_columns(winograd_filter(w))) {rows = 1, columns = 14}
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from ...ir import Function, Value, current_builder, rewrite, rewrite_all
from ...ir.rewrite import Pattern
from ...ops.algorithms.panels import pack_columns
from ...ops.algorithms.winograd import winograd_filter, winograd_input, winograd_output
from ...ops.algorithms.winograd_blocked import winograd_conv
from ...ops.algorithms.winograd_tiles import Tiles, points_of
from ...ops.products.matmul import matmul
from ...ops.shapes.slice import slice_axes
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...target import Target
from ...types import f32
from ..schedule.cost.model import panel_width
from ..schedule.cost.register_tiles import ProductSizes
from ..schedule.cost.winograd import StageByStage, winograd_order
from .convolutions import TILES, Errors, applies, plan_convolutions, sizes_of

_LOG = logging.getLogger("mlir_lite")


def winograd(fn: Function, *, target: Target, choice: str | int = "auto") -> Function:
    """Rewrite convolutions where it pays and is accurate (`auto`), never (`off`), or with tiles of
    2 or 4."""
    chosen = choose_algorithms(fn, target=target, choice=choice)
    return rewrite_all(chosen, [write_out(target)], TABLE, fuel=1)


def choose_algorithms(fn: Function, *, target: Target, choice: str | int) -> Function:
    """Write on every convolution how it is to be computed; `auto` keeps what is written there."""
    layers = plan_convolutions(fn, Errors(), target=target, choice=choice)
    for layer in layers:
        if layer.note:
            _LOG.info("%s: %s, %s", layer.location, layer.algorithm, layer.note)
    algorithms = iter([layer.algorithm for layer in layers])
    return rewrite_all(fn, [_as_planned(algorithms)], TABLE, fuel=1)


def _as_planned(algorithms: Iterator[str]) -> Pattern:
    """The algorithms are those of a function's convolutions in order."""

    @rewrite(Conv)
    def choose_algorithm(op: Conv) -> Value | None:
        """conv(x, w)  ->  conv(x, w) {algorithm = "winograd4"}, or another"""
        algorithm = next(algorithms)
        if algorithm == op.algorithm:
            return None
        return current_builder().emit(replace(op, algorithm=algorithm))[0]

    return choose_algorithm


def in_stages(
    conv: Conv, tile: int, multiply: Callable[[Value, Value], Value | None], *, cut: bool = False
) -> Value | None:
    """The three stages one after the other, the products of points by filters as `multiply` gives
    them in f32; None where it gives none. The last tiles may be `cut`."""
    sizes = sizes_of(conv)
    outputs = (sizes.batch, sizes.height, sizes.width)
    points = winograd_input(conv.x, tile, conv.padding, cut)
    products: list[Value] = []
    first = 0
    for part in Tiles(outputs, tile, cut).parts:
        count = len(part.points)
        own = slice_axes(points, (first, part.start, 0), (count, part.count, sizes.inner))
        filters = winograd_filter(conv.weight, tile, part.points if cut else ())
        product = multiply(own, filters)
        if product is None:
            return None
        products.append(product)
        first += count
    return winograd_output(tuple(products), tile, outputs, cut)


def write_out(target: Target) -> Pattern:
    """The pattern that writes the stages of convolutions by Winograd's algorithm, as one operation
    in blocks of tiles where the target's caches gain by that."""
    @rewrite(Conv)
    def write_stages(op: Conv) -> Value | None:
        """conv(x, w) {algorithm = "winograd4"}  ->  winograd_output(matmul(winograd_input(x), ..)),
        or winograd_conv(x, ..)"""
        if op.algorithm not in TILES or not applies(op):
            return None
        tile, sizes = TILES[op.algorithm], sizes_of(op)
        order = winograd_order(sizes, tile, target)
        if isinstance(order, StageByStage):
            return in_stages(op, tile, matmul, cut=order.cut)
        tiles = order.rows * order.columns
        problem = ProductSizes(tiles, sizes.inner, sizes.outer, f32, points_of(tile))
        width = panel_width(problem, target)
        panels = pack_columns(winograd_filter(op.weight, tile), width)
        return winograd_conv(
            op.x, panels, sizes.outer, tile, op.padding, order.rows, order.columns
        )

    return write_stages
