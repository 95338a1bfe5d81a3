"""A product that a loop takes rows of, computed in the loop: some rows and columns a turn, beside a
kernel that waits for its operands.

Each of the turns that take one block of rows computes its share of the next block's columns, in
tiles of registers for all of these rows. How many turns and which tile is the cost model's choice:
the fewest lines of operands for a multiply-add, as they come the same way as those that the kernel
waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...target import Target
from ...tile.analyses.count import work_of
from ...tile.instructions.table import LINE_BYTES
from ...tile.nodes import Kernel, Space
from ...tile.steps.interleave import Pieces, interleave, pieces_of
from ...tile.steps.nests import privatise
from ...tile.steps.part import Part, part_of
from ..schedule.analysis import Product, as_product, nests_of
from ..schedule.cost.model import PANELS, decide
from ..schedule.cost.register_tiles import MOST_VECTORS, ProductSizes, Tile
from ..schedule.cost.segments import ALONE
from ..schedule.cost.turns import has_time_beside, saves_time_beside
from ..schedule.products.gemm import schedule_in_tiles
from ..schedule.products.tiling import product_sizes
from ..schedule.recipes import prepared, schedule
from ..schedule.single import collapse_nest

BROADCASTS = 2  # registers for an element of a row, of each of the two
MOST_TURNS = 16  # that take one block
MOST_ROWS = 8  # of a block: each has a line that more would drive out of the nearest cache


@dataclass(frozen=True)
class Share:
    """What one of `turns` computes of the next block: all its rows by the columns of tiles."""

    turns: int
    tile: Tile

    def __str__(self) -> str:
        return f"{self.tile} in {self.turns} turns"


@dataclass(frozen=True)
class SharedProduct:
    """A product that a loop of `length` turns takes `rows` of in each, after those of the `early`
    turns, which are taken before it."""

    kernel: Kernel
    product: Product
    sizes: ProductSizes
    rows: int
    early: int
    length: int

    @property
    def turns(self) -> int:
        """All that take rows."""
        return self.early + self.length

    def part(self, turns: int, columns: int) -> Part | None:
        """What is for so many turns, of so many columns."""
        assert self.product.m is not None
        return part_of(self.kernel, {self.product.m: turns * self.rows, self.product.n: columns})


@dataclass(frozen=True)
class Beside:
    """A product cut up: `first` for the rows of the early turns and of `last_turns`, as many as the
    loop runs at the end by themselves; and `both`, a kernel that does its own work and one share of
    a block, which is that of `turns`, in all turns before those.

    `row_moves` and `column_moves` are the elements by which views of the product's parameters move
    for one turn's rows, and for one share's columns.
    """

    first: Kernel
    both: Kernel
    turns: int
    last_turns: int
    row_moves: tuple[int, ...]
    column_moves: tuple[int, ...]


def shared_product(naive: Kernel, elements: int, length: int) -> SharedProduct | None:
    """A naive kernel as rows for the turns of a loop, which takes so many elements of the result in
    each; None where it is no plain product of them."""
    kernel = prepared(naive)
    if len(nests_of(kernel)) != 1:
        return None
    kernel = collapse_nest(kernel, 0)
    (nest,) = nests_of(kernel)
    product = as_product(kernel, nest) if nest.reductions else None
    if product is None or product.dots is not None or len(product.reduction) != 1:
        return None
    if product.m is None or set(nest.axes) != {product.m, product.n}:
        return None
    sizes = product_sizes(kernel, nest, product)
    rows, rest = divmod(elements, sizes.columns)
    if rest or not rows or sizes.rows % rows or sizes.depth > ALONE.longest:
        return None  # sums that are longer go in segments
    early = sizes.rows // rows - length
    return SharedProduct(kernel, product, sizes, rows, early, length) if early >= 0 else None


def place_beside(
    shared: SharedProduct, kernel: Kernel, read: int, name: str, target: Target
) -> Beside | None:
    """The product beside a kernel that reads so many bytes in each turn from a cache that is far;
    None where it has no time to spare, or nothing fits."""
    pieces = pieces_of(kernel)
    if pieces is None:
        return None
    operations = 2 * shared.rows * shared.sizes.depth * shared.sizes.columns
    if not has_time_beside(work_of(kernel).operations + operations, read, target):
        return None
    lines = {share: _lines(share, shared) for share in _shares(shared, kernel, pieces, target)}
    if not lines:
        return None
    share = decide(shared.sizes, "beside what waits", lines, target)
    if not saves_time_beside(operations, shared.sizes, share.turns, read, target):
        return None
    last_turns = share.turns + shared.length % share.turns
    first = shared.part(shared.early + last_turns, shared.sizes.columns)
    part = shared.part(share.turns, shared.sizes.columns // share.turns)
    if first is None or part is None:
        return None
    (nest,) = nests_of(part.kernel)
    work = privatise(schedule_in_tiles(part.kernel, nest, shared.product, share.tile))
    cut = pieces_of(work)
    if cut is None or not pieces.hold(cut.count, cut.steps):
        return None
    rows, columns = part.moves[shared.product.m or ""], part.moves[shared.product.n]
    params = [param.name for param in shared.kernel.params]
    return Beside(
        schedule(first.kernel, target),
        interleave(kernel, work, name),
        share.turns,
        last_turns,
        tuple(rows[param] // share.turns for param in params),
        tuple(columns[param] for param in params),
    )


def _shares(
    shared: SharedProduct, kernel: Kernel, pieces: Pieces, target: Target
) -> Iterator[Share]:
    """Shares whose tiles have room in the registers beside the kernel's own, and are enough to be
    dealt to threads in pieces that fit the kernel's."""
    lanes, sizes = target.lanes(shared.sizes.dtype), shared.sizes
    held = [buffer for buffer in kernel.locals if buffer.space is Space.REGISTER]
    own = sum(-(-buffer.elements * buffer.dtype.bytes // target.vector_bytes) for buffer in held)
    for turns in range(1, min(MOST_TURNS, shared.length // 2) + 1):
        rows, columns = turns * shared.rows, sizes.columns // turns
        whole = sizes.columns % turns == 0 and columns % (sizes.panel or lanes) == 0
        if not whole or not 1 < rows <= MOST_ROWS:
            continue
        for vectors in range(1, MOST_VECTORS + 1):
            tile = Tile(rows, vectors, lanes)
            even = columns % tile.columns == 0 and (sizes.panel or columns) % tile.columns == 0
            room = own + rows * vectors + vectors + BROADCASTS <= target.vector_registers
            count = columns // tile.columns
            if even and room and count >= PANELS and pieces.hold(count, sizes.depth):
                yield Share(turns, tile)


def _lines(share: Share, shared: SharedProduct) -> float:
    """Lines of the operands that one multiply-add of vectors takes: a tile's rows use up a line of
    each in several steps, its columns one in each."""
    rows, vectors = share.tile.rows, share.tile.vectors
    return (vectors + rows * shared.sizes.dtype.bytes / LINE_BYTES) / (rows * vectors)
