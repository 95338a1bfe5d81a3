"""How the tiles of images are numbered, and which of their points there are: tiles at the end of an
image, of which fewer outputs are in it, may be cut, and then need fewer points.

A point that cut tiles leave out is a product of fewer rows. Tiles are numbered so that each point
is one of a stretch of them: first the last column without its last row, then the others row by row.

    2 3 0     all have the points that both the last row and the last column keep;
    4 5 1     2 to 7 those that the last column leaves out,
    6 7 8     0 to 5 those that the last row leaves out, and 2 to 5 those that both leave out
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from ...errors import check
from ...expr import Expr, index, select
from ...sizes import ceil_div, static
from ..windows.windows import Padding, counts_of, windows_of
from .winograd_transform import POINTS, TAPS, left_out


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


@dataclass(frozen=True)
class Part:
    """Points, by their places in a tile row by row, that the same tiles have: so many of them, the
    first of which has the number `start`."""

    points: tuple[int, ...]
    start: int
    count: int


@dataclass(frozen=True)
class Tiles:
    """The tiles of outputs of these `sizes`, batch, height and width; the last row and column are
    `cut`, or whole and reach beyond the image."""

    sizes: tuple[int, int, int]
    tile: int
    cut: bool = False

    @property
    def counts(self) -> tuple[int, int, int]:
        """The images, and the tiles along the height and the width of each."""
        batch, height, width = self.sizes
        rows, columns = static((ceil_div(height, self.tile), ceil_div(width, self.tile)))
        return batch, rows, columns

    @property
    def count(self) -> int:
        return prod(self.counts)

    @property
    def outputs(self) -> tuple[int, int]:
        """How many outputs the tiles of the last row, and of the last column, have along that."""
        _, *along = self.sizes
        if not self.cut:
            return self.tile, self.tile
        rows, columns = ((size - 1) % self.tile + 1 for size in along)
        return rows, columns

    @property
    def whole(self) -> tuple[int, int]:
        """How many rows and columns of tiles are not cut."""
        _, *counts = self.counts
        pairs = zip(counts, self.outputs, strict=True)
        rows, columns = (count - (outputs < self.tile) for count, outputs in pairs)
        return rows, columns

    @property
    def parts(self) -> tuple[Part, ...]:
        """The points in the order in which they are stored, with the tiles that each has."""
        images, *counts = self.counts
        rows, columns = self.whole
        above = images * rows * (counts[1] - columns)  # tiles of the last column, numbered first
        inner, below = images * rows * columns, images * (counts[0] - rows) * columns
        stretches = {
            (True, True): (0, self.count),
            (True, False): (above, inner + below),
            (False, True): (0, above + inner),
            (False, False): (above, inner),
        }
        found = (Part(self._points(*kept), *stretch) for kept, stretch in stretches.items())
        return tuple(part for part in found if part.points and (part.count or not self.cut))

    @property
    def order(self) -> tuple[int, ...]:
        """The places in a tile of the points in the order in which they are stored."""
        return tuple(place for part in self.parts for place in part.points)

    def _points(self, by_rows: bool, by_columns: bool) -> tuple[int, ...]:
        """The points that the last row, and the last column, keeps or leaves out."""
        reach = self.tile + TAPS - 1
        out_rows, out_columns = (left_out(self.tile, outputs) for outputs in self.outputs)
        return tuple(
            i * reach + j
            for i, j in product(range(reach), repeat=2)
            if (i not in out_rows, j not in out_columns) == (by_rows, by_columns)
        )

    @property
    def regions(self) -> tuple[tuple[slice, slice], ...]:
        """The rows and columns of tiles that are numbered one after the other, each region image by
        image."""
        rows, columns = self.whole
        above, below = slice(rows), slice(rows, None)
        left, right = slice(columns), slice(columns, None)
        return (above, right), (above, left), (below, left), (below, right)

    def number(self, at: TileAt) -> Expr:
        """The number of a tile."""
        images, *counts = self.counts
        rows, columns = self.whole
        above = images * rows * (counts[1] - columns)
        before = above + images * rows * columns  # the last row, if that is cut
        inner = above + (at.image * rows + at.row) * columns + at.column
        corner = index(self.count - images) + at.image
        below = before + at.image * columns + at.column
        beside = at.image * rows + at.row
        if columns < counts[1]:
            inner = select(at.column < columns, inner, beside)
            below = select(at.column < columns, below, corner)
        return inner if rows == counts[0] else select(at.row < rows, inner, below)

    def has(self, i: int, j: int, at: TileAt) -> list[Expr]:
        """The conditions, of those that may fail, on which a tile has a point."""
        rows, columns = self.whole
        conditions = []
        if i in left_out(self.tile, self.outputs[0]):
            conditions.append(at.row < rows)
        if j in left_out(self.tile, self.outputs[1]):
            conditions.append(at.column < columns)
        return conditions


def output_sizes(shape: tuple[int, ...], padding: Padding) -> tuple[int, int, int]:
    """The images, height and width of a 3×3 convolution of unit stride, channels-last."""
    batch, *size, _ = shape
    ones = (1, 1)
    height, width = counts_of(windows_of(size, (TAPS, TAPS), ones, padding, ones))
    return batch, height, width


def points_of(tile: int) -> int:
    """How many points, and so products, a square tile of so many outputs a side has."""
    return (tile + TAPS - 1) ** 2


def check_tile(tile: int) -> None:
    """`TypeRuleError` for tiles of which there are no matrices."""
    check(tile in POINTS, f"there are tiles of {' and '.join(map(str, POINTS))}, not of {tile}")
