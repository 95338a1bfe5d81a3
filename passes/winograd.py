"""winograd: 3×3 convolutions of unit stride by fewer multiplications (Lavin and Gray, 2016).

The choice is written on the convolution, then the convolution is written out in three stages:

    conv(x, w) {algorithm = "winograd4"}
      ->  winograd_output(matmul(winograd_input(x), winograd_filter(w)))
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError, check
from ..ir import Constant, Function, Value, current_builder, rewrite, rewrite_all
from ..ir.rewrite import Pattern
from ..ops.conv import Conv
from ..ops.matmul import matmul
from ..ops.table import TABLE
from ..ops.winograd import winograd_filter, winograd_input, winograd_output
from ..ops.winograd_transform import POINTS
from ..target import Target
from ..types import f32, static
from .schedule.cost import ConvSizes, choose_algorithm

TILES = {f"winograd{tile}": tile for tile in POINTS}


def winograd(fn: Function, *, target: Target, choice: str | int = "auto") -> Function:
    """Rewrite convolutions where it pays (`auto`), never (`off`), or with tiles of 2 or 4."""
    chosen = choose_algorithms(fn, target=target, choice=choice)
    return rewrite_all(chosen, [write_out], TABLE, fuel=1)


def choose_algorithms(fn: Function, *, target: Target, choice: str | int) -> Function:
    """Write on every convolution how it is to be computed; `auto` keeps what is written there."""
    names = {"auto", "off", *POINTS}
    check(choice in names, f"winograd is auto, off, 2 or 4, not {choice}", InputError)
    return rewrite_all(fn, [_chosen(target, choice)], TABLE, fuel=1)


def _chosen(target: Target, choice: str | int) -> Pattern:
    @rewrite(Conv)
    def choose_algorithm(op: Conv) -> Value | None:
        """conv(x, w)  ->  conv(x, w) {algorithm = "winograd4"}, or another"""
        algorithm = op.algorithm
        if choice == "off":
            algorithm = "direct"
        elif _applies(op):
            if choice in POINTS:
                algorithm = f"winograd{choice}"
            elif algorithm == "direct":
                algorithm = cheapest_algorithm(op, target)
        if algorithm == op.algorithm:
            return None
        return current_builder().emit(replace(op, algorithm=algorithm))[0]

    return choose_algorithm


def _applies(op: Conv) -> bool:
    """Whether a convolution can be written out: its filters are transformed at compile time."""
    return (
        op.has_winograd
        and op.layout == "nhwc"
        and op.x.dtype == f32
        and isinstance(op.weight.op, Constant)
        and op.x.type.is_static
        and bool(op.x.type.elements)
    )


def cheapest_algorithm(op: Conv, target: Target) -> str:
    """The algorithm of the fewest cycles by the cost model."""
    batch, height, width, outer = static(op.infer().shape)
    sizes = ConvSizes(batch, height, width, op.weight.type.static_shape[1], outer)
    return choose_algorithm(sizes, TILES, target)


@rewrite(Conv)
def write_out(op: Conv) -> Value | None:
    """conv(x, w) {algorithm = "winograd4"}  ->  winograd_output(matmul(winograd_input(x), ..))"""
    if op.algorithm not in TILES or not _applies(op):
        return None
    tile = TILES[op.algorithm]
    points = winograd_input(op.x, tile, op.padding)
    products = matmul(points, winograd_filter(op.weight, tile))
    return winograd_output(products, tile, static(op.infer().shape)[:3])
