"""Samples of the stages of a Winograd convolution."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from mlir_lite.ops.algorithms.winograd import WinogradFilter, WinogradInput, WinogradOutput
from mlir_lite.ops.algorithms.winograd_blocked import WinogradConv
from mlir_lite.ops.algorithms.winograd_tiles import Tiles, output_sizes
from mlir_lite.ops.windows.windows import Padding
from mlir_lite.types import bf16, f32, f64

from ..sample import Sample, normal

TILES = (2, 4)

# An input, channels last, and its padding.
IMAGES: tuple[tuple[str, tuple[int, int, int, int], Padding], ...] = (
    ("one output", (1, 3, 3, 1), ((0, 0), (0, 0))),
    ("padding alone around one pixel", (1, 1, 1, 3), ((1, 1), (1, 1))),
    ("whole tiles", (1, 8, 8, 16), ((1, 1), (1, 1))),
    ("one past a tile, a vector and a bit", (2, 9, 5, 17), ((1, 1), (1, 1))),
    ("uneven padding", (1, 7, 11, 4), ((0, 2), (3, 1))),
    ("tiles with guards and without", (1, 20, 18, 5), ((1, 1), (1, 1))),
    ("stores that share a cache set", (1, 8, 8, 64), ((1, 1), (1, 1))),
    ("empty batch", (0, 4, 4, 3), ((1, 1), (1, 1))),
)


def _samples() -> Iterator[Sample]:
    for (comment, shape, padding), tile, cut in product(IMAGES, TILES, (False, True)):
        sizes = output_sizes(shape, padding)
        tiles = Tiles(sizes, tile, cut)
        if cut and len(tiles.parts) < 2:
            continue  # no tile is
        text = f"{comment}, {'cut ' if cut else ''}tiles of {tile}"
        yield Sample(
            text,
            lambda x, tile=tile, padding=padding, cut=cut: WinogradInput(x, tile, padding, cut),
            (normal(shape, f32),),
        )
        counts = [(len(part.points), part.count, shape[-1]) for part in tiles.parts]
        yield Sample(
            text,
            lambda m, tile=tile, sizes=sizes, cut=cut: WinogradOutput(m, tile, sizes, cut),
            (tuple(normal(count, f32, seed) for seed, count in enumerate(counts)),),
        )
    for tile, dtype in product(TILES, (f32, f64, bf16)):
        yield Sample(
            f"tiles of {tile}, {dtype}",
            lambda weight, tile=tile: WinogradFilter(weight, tile),
            (normal((5, 3, 3, 3), dtype),),
        )
    yield Sample(
        "points in an order",
        lambda weight: WinogradFilter(weight, 2, (3, 0, 15)),
        (normal((5, 3, 3, 3), f32),),
    )
    yield from _blocked()
    for dtype in (f64, bf16):
        yield Sample(
            f"of {dtype}",
            lambda x: WinogradInput(x, 4, ((1, 1), (1, 1))),
            (normal((1, 5, 6, 3), dtype),),
        )
        yield Sample(
            f"of {dtype}",
            lambda m: WinogradOutput(m, 2, (1, 3, 4)),
            ((normal((16, 4, 3), dtype),),),
        )


# Rows and columns of a block.
BLOCKS = ((1, 1), (2, 3))


def _blocked() -> Iterator[Sample]:
    for (comment, shape, padding), tile, (rows, columns) in product(IMAGES, TILES, BLOCKS):
        yield Sample(
            f"{comment}, tiles of {tile}, {rows} by {columns} of them",
            lambda x, w, t=tile, p=padding, r=rows, c=columns: WinogradConv(x, w, 5, t, p, r, c),
            (normal(shape, f32), normal(((tile + 2) ** 2, 2, shape[-1], 4), f32)),
        )
    for dtype in (f64, bf16):
        yield Sample(
            f"of {dtype}",
            lambda x, w: WinogradConv(x, w, 3, 2, ((1, 1), (1, 1)), 1, 2),
            (normal((1, 5, 6, 3), dtype), normal((16, 1, 3, 4), dtype)),
        )


WINOGRAD: tuple[Sample, ...] = tuple(_samples())
