"""The loops and the straight-line code that the kernels of Winograd convolutions are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...expr import Expr, Load, all_of, cast, const, select
from ...tile.nodes import Block, Buffer, If, Ref, Store
from ..base.body import computing_type
from ..windows.windows import Padding
from .winograd_transform import TAPS, StraightLine, transform_of, transformed


@dataclass(frozen=True)
class TileAt:
    """A tile of an image, by its row and its column among the `rows` and `columns` that there may
    be, and a channel."""

    image: Expr
    row: Expr
    column: Expr
    channel: Expr
    rows: int
    columns: int


def input_code(
    x: Buffer, tile: int, padding: Padding, at: TileAt, target: Callable[[int], Ref], to: Buffer
) -> Block:
    """Store `Bᵀ d B` of a tile of channels-last images, each point at its target in `to`."""
    _, height, width, _ = x.shape
    (low_row, _), (low_column, _) = padding
    code, wide = StraightLine(), computing_type(x.dtype)

    def pixel(i: int, j: int) -> Expr:
        row, inside_rows = within(at.row, at.rows, i - low_row, height)
        column, inside_columns = within(at.column, at.columns, j - low_column, width)
        element = Load(x.dtype, x.name, (at.image, row, column, at.channel))
        inside = all_of(*inside_rows, *inside_columns)
        return select(inside, cast(element, wide), const(0, wide))

    def within(place: Expr, count: int, first: int, extent: int) -> tuple[Expr, list[Expr]]:
        """A pixel's position by its tile's, and the conditions on it that may fail."""
        position = place * tile + first
        low = [position >= 0] if first < 0 else []
        reaches = (count - 1) * tile + first >= extent
        return position, [*low, position < extent] if reaches else low

    for i, row in enumerate(transformed(transform_of(tile).input, pixel, code.bind)):
        for j, value in enumerate(row):
            code.lines.append(Store(target(i * len(row) + j), cast(value, to.dtype)))
    return tuple(code.lines)


def output_code(
    product: Callable[[int], Load], tile: int, at: TileAt, out: Buffer
) -> Block:
    """Store `Aᵀ m A` of a tile's products, one for each point, where it is in the image."""
    _, height, width, _ = out.shape
    code, reach = StraightLine("y"), tile + TAPS - 1

    def element(i: int, j: int) -> Expr:
        load = product(i * reach + j)
        return cast(load, computing_type(load.dtype))

    for i, row in enumerate(transformed(transform_of(tile).output, element, code.bind)):
        for j, value in enumerate(row):
            y, x = at.row * tile + i, at.column * tile + j
            place = Ref(out.name, (at.image, y, x, at.channel))
            store = Store(place, cast(value, out.dtype))
            code.lines.append(If(all_of(y < height, x < width), (store,)))
    return tuple(code.lines)
