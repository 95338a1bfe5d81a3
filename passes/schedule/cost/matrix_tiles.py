"""The cost model of products in matrix registers, Intel's AMX: how many registers of rows meet how
many of columns.

A step multiplies `height` rows by sixteen columns, `DEPTH` elements of 32 bits deep, in as many
cycles as it has rows; a load of a register takes a cycle a row (Intel's optimization manual,
"Intel AMX", and as measured).
"""

from __future__ import annotations

from dataclasses import dataclass

from ....sizes import round_up
from ....target import Target
from ....tile.instructions.matrices import COLUMNS, PRODUCTS, REGISTERS, ROW_BYTES, ROWS
from .model import decide, decide_rule
from .register_tiles import ProductSizes

DEPTH = ROWS  # rows of a register of the right operand, as many as one of the left has elements
FINISH = 0.25  # cycles for each element of the sums to leave the registers and be stored
FAR = 1.6  # cycles for a row of a register that comes from the second cache, as measured
WIDEST = 4  # registers of columns


@dataclass(frozen=True)
class MatrixTile:
    """`rows` by `columns` registers of sums, of `height` rows each, and `depth` elements of 32 bits
    in a step. The registers of rows may be those of so many windows, one after the other."""

    height: int
    rows: int
    columns: int
    depth: int
    windows: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        return self.height * self.rows, self.columns * COLUMNS

    @property
    def cycles(self) -> float:
        """Of a step."""
        loads = self.rows * self.height + self.columns * self.depth
        return max(loads, self.rows * self.columns * self.height)

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns} of {self.height}{' windows' if self.windows else ''}"


def uses_matrices(sizes: ProductSizes, target: Target) -> bool:
    """Whether the target multiplies such elements in matrix registers."""
    return any(
        (made.total, made.right) == (sizes.dtype, sizes.narrow)
        for made in PRODUCTS.values()
        if made.name in target.matrix_products
    )


def step_depth(terms: int) -> int:
    """The elements of a step that leave nothing over of so many that lie side by side: as many as a
    register holds, or the largest divisor that is less."""
    return max(each for each in range(1, DEPTH + 1) if terms % each == 0)


def padded_depth(terms: int) -> int:
    """A few more than `terms` elements, which equal steps divide."""
    return round_up(terms, -(-terms // DEPTH))


@dataclass(frozen=True)
class MatrixSizes:
    """A product whose sums have so many `terms` side by side in memory. So many windows follow one
    another `along` an axis; others than a convolution's do not."""

    product: ProductSizes
    terms: int
    along: int = 1

    def __str__(self) -> str:
        return f"{self.product}, {self.terms} side by side, windows along {self.along}"


def matrix_tile(sizes: MatrixSizes, target: Target) -> MatrixTile:
    """The registers of a product; its panels, if it is packed, give its width."""
    return decide(sizes, "matrices", matrix_cycles(sizes, target), target)


def matrix_panel(sizes: MatrixSizes, target: Target) -> int:
    """Columns of the panels in which the right operand is packed."""
    widths: dict[int, float] = {}
    for tile, cycles in matrix_cycles(sizes, target).items():
        width = tile.shape[1]
        widths[width] = min(cycles, widths.get(width, cycles))
    return decide(sizes, "panel", widths, target)


def matrix_cycles(sizes: MatrixSizes, target: Target) -> dict[MatrixTile, float]:
    """Tiles and the cycles of the whole product. Rows that are left over are computed with some of
    those before them again."""
    product, depth = sizes.product, step_depth(sizes.terms)
    steps = product.depth // depth
    found: dict[MatrixTile, float] = {}
    for columns in range(1, WIDEST + 1):
        if product.panel not in (None, columns * COLUMNS):
            continue
        panels = -(-product.columns // (columns * COLUMNS)) * product.count
        for rows in range(1, REGISTERS):
            if rows * columns + rows + 1 > REGISTERS:
                break
            tile, blocks = _tile(sizes, rows, columns, depth)
            if tile is not None:
                results = tile.shape[0] * tile.shape[1]
                each = steps * _step_cycles(product, tile, target) + FINISH * results
                found[tile] = panels * blocks * each
    return found


def matrix_panels_first(sizes: MatrixSizes, target: Target) -> bool:
    """Whether all rows go through one panel after the other: where the panels together leave the
    second cache. Elsewhere rows of the result, and of what is added to them, are better written and
    read from one end to the other."""
    return decide_rule(sizes, "panels first", sizes.product.far(target), target)


def _tile(
    sizes: MatrixSizes, rows: int, columns: int, depth: int
) -> tuple[MatrixTile | None, int]:
    """So many registers of rows, if there are, and how many blocks of them a panel meets."""
    product = sizes.product
    if product.rows <= ROWS and sizes.along >= rows > 1:
        tile = MatrixTile(product.rows, rows, columns, depth, windows=True)
        return tile, product.windows // sizes.along * -(-sizes.along // rows)
    blocks = -(-product.rows // (rows * ROWS))
    height = -(-product.rows // (blocks * rows))
    tile = MatrixTile(height, rows, columns, depth)
    return (tile if tile.shape[0] <= product.rows else None), product.windows * blocks


def _step_cycles(sizes: ProductSizes, tile: MatrixTile, target: Target) -> float:
    """Cycles of a step, which may wait for rows from the second cache: those of the left operand,
    which all panels go through, and those of a panel that does not stay in the nearest one."""
    panel = sizes.depth * tile.columns * ROW_BYTES
    far = tile.rows * tile.height
    if panel > target.l1_bytes // 3:
        far += tile.columns * tile.depth
    return max(tile.cycles, FAR * far)
