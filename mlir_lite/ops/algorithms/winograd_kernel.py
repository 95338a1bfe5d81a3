"""The straight-line code that the kernels of Winograd convolutions are made of."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ...expr import Expr, Load, all_of, cast, const, select
from ...tile.nodes import Block, Buffer, If, Ref, Store
from ..base.body import computing_type
from ..windows.windows import Padding
from .winograd_tiles import TileAt, Tiles
from .winograd_transform import (
    TAPS,
    StraightLine,
    continuation,
    sum_of,
    transform_of,
    transformed,
)


def input_code(
    x: Buffer, tiles: Tiles, padding: Padding, at: TileAt, targets: Mapping[int, Ref], to: Buffer
) -> Block:
    """Store `Bᵀ d B` of a tile of channels-last images, each point that has one at its target in
    `to`."""
    _, height, width, _ = x.shape
    (low_row, _), (low_column, _) = padding
    code, wide = StraightLine(), computing_type(x.dtype)
    known: dict[tuple[int, int], Expr] = {}

    def pixel(i: int, j: int) -> Expr:
        row, inside_rows = within(at.row, at.rows, i - low_row, height)
        column, inside_columns = within(at.column, at.columns, j - low_column, width)
        element = Load(x.dtype, x.name, (at.image, row, column, at.channel))
        inside = all_of(*inside_rows, *inside_columns)
        value = select(inside, cast(element, wide), const(0, wide))
        if factors := beyond(i, tiles.outputs[0]):
            before = [known[i - len(factors) + k, j] for k in range(len(factors))]
            value = select(at.row < tiles.whole[0], value, sum_of(factors, before))
        if factors := beyond(j, tiles.outputs[1]):
            before = [known[i, j - len(factors) + k] for k in range(len(factors))]
            value = select(at.column < tiles.whole[1], value, sum_of(factors, before))
        known[i, j] = code.bind(value)
        return known[i, j]

    def within(place: Expr, count: int, first: int, extent: int) -> tuple[Expr, list[Expr]]:
        """A pixel's position by its tile's, and the conditions on it that may fail."""
        position = place * tiles.tile + first
        low = [position >= 0] if first < 0 else []
        reaches = (count - 1) * tiles.tile + first >= extent
        return position, [*low, position < extent] if reaches else low

    def beyond(place: int, outputs: int) -> tuple[Fraction, ...]:
        """How those before it give a pixel of a cut tile; nothing where it has what the image has
        there. The last one of a tile is read for infinity alone."""
        wanted = outputs + TAPS - 1 <= place <= tiles.tile
        return continuation(tiles.tile, outputs) if wanted else ()

    for i, row in enumerate(transformed(transform_of(tiles.tile).input, pixel, code.bind)):
        for j, value in enumerate(row):
            place = i * len(row) + j
            if place in targets:
                code.lines.append(Store(targets[place], cast(value, to.dtype)))
    return tuple(code.lines)


def output_code(
    products: Mapping[int, Load], tiles: Tiles, at: TileAt, out: Buffer
) -> Block:
    """Store `Aᵀ m A` of a tile's products, by point, where it is in the image; the products of
    points that the tile leaves out are 0."""
    _, height, width, _ = out.shape
    code, reach = StraightLine("y"), tiles.tile + TAPS - 1
    wide = computing_type(out.dtype)

    def element(i: int, j: int) -> Expr:
        load = products.get(i * reach + j)
        if load is None:
            return const(0, wide)
        return select(all_of(*tiles.has(i, j, at)), cast(load, wide), const(0, wide))

    for i, row in enumerate(transformed(transform_of(tiles.tile).output, element, code.bind)):
        for j, value in enumerate(row):
            y, x = at.row * tiles.tile + i, at.column * tiles.tile + j
            place = Ref(out.name, (at.image, y, x, at.channel))
            store = Store(place, cast(value, out.dtype))
            code.lines.append(If(all_of(y < height, x < width), (store,)))
    return tuple(code.lines)
