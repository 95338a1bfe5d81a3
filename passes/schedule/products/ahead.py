"""What a product in register tiles asks memory for before it reads it: panels of the right operand,
the next of several matrices.

    for n.o: for m.o: {prefetch b[.., n.o + 1] a part at a time;  acc += a[m, k] * b[k, n];  ..}
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ....expr import Expr, loads_of, vars_of
from ....target import Target
from ....tile.nodes import Kernel, Store
from ....tile.steps.prefetch import prefetch_next
from ....tile.steps.prefetch_tiles import prefetch_epilogue, prefetch_left
from ....tile.tree import extent_of, loops_of
from ..analysis import Nest, Product
from ..cost.memory import worth_prefetching_early
from ..cost.model import panels_first
from ..cost.register_tiles import tile_cycles
from .tiling import Surroundings, Tiling

EPILOGUE_DEPTH = 128  # steps of a tile's sums beside which requests for its epilogue are nothing
AHEAD = 4096  # bytes: what memory delivers in the time that it takes to answer
LONG_STEP = 9  # cycles of arithmetic, about what memory takes to deliver for a step
FAR_AHEAD = 4 * AHEAD  # beside them: a late answer is not made up for by the next ones


def prefetch_operands(
    kernel: Kernel, tiling: Tiling, around: Surroundings, longest: int
) -> Kernel:
    """Ask for all that a tiled product reads and that is worth it; sums that have more terms than
    the `longest` will be cut in segments."""
    product, sizes, target, k = tiling.product, tiling.sizes, tiling.target, tiling.k
    if loops_of(kernel, f"{k}.b"):
        kernel = prefetch_left(kernel, k, product.left.buffer, f"{tiling.m}.i")
    if product.panel and panels_first(sizes, tiling.tile, target):
        kernel = _prefetch_panels(kernel, tiling)
    if around.after and sizes.far(target) and not loops_of(kernel, f"{tiling.n}.o"):
        kernel = _prefetch_after(kernel, tiling, around.after)
    if tiling.nest.around:
        kernel = _prefetch_matrices(kernel, tiling)
    if sizes.depth < EPILOGUE_DEPTH:
        return kernel
    once = _read_once(kernel, tiling.nest, product)
    return prefetch_epilogue(kernel, k, once, around.later, cut=sizes.depth <= longest)


def _prefetch_panels(kernel: Kernel, tiling: Tiling) -> Kernel:
    """Ask for the next panel, or part of one, during the rounds over this one; for a panel that is
    read only once, a little ahead of where it is read; for none that has no room beside another."""
    product, target, k = tiling.product, tiling.target, tiling.k
    rounds = (*tiling.windows, f"{tiling.m}.o")
    buffer = kernel.buffers[product.right.buffer]
    inner = len(product.reduction) + (2 if product.dots else 1)
    panel = prod(buffer.memory_shape[-inner:]) * buffer.dtype.bytes
    parts = loops_of(kernel, f"{k}.b")
    panel //= extent_of(parts[0]) if parts else 1
    place = (product.right.buffer, f"{k}.b" if parts else f"{product.n}.o", k)
    step = tile_cycles(tiling.tile.rows, tiling.tile.vectors)
    if not any(loops_of(kernel, axis) for axis in rounds):
        ahead = FAR_AHEAD if step >= LONG_STEP else AHEAD
        return prefetch_next(kernel, *place, distance=ahead // buffer.dtype.bytes)
    if 2 * panel > target.l2_bytes:
        return kernel
    spread = worth_prefetching_early(step, panel, target)
    return prefetch_next(kernel, *place, rounds, places=target.asked_places, spread=spread)


def _prefetch_after(kernel: Kernel, tiling: Tiling, after: Mapping[str, Expr]) -> Kernel:
    """Ask for the next panel, which is `after` this one, while all rows go through this one; one
    that is read only once comes as fast as it is read."""
    rows, buffer = f"{tiling.m}.o", tiling.product.right.buffer
    if not loops_of(kernel, rows):
        return kernel
    return prefetch_next(kernel, buffer, tiling.outer[-1], tiling.k, (rows,), after=after)


def _prefetch_matrices(kernel: Kernel, tiling: Tiling) -> Kernel:
    """Ask for the next of several matrices while all rows of a block go through this one, where
    they are far."""
    product, several = tiling.product, tiling.batch
    if product.panel or not several or not _is_far(kernel, product, tiling.target):
        return kernel
    rows = (f"{tiling.m}.o",)
    return prefetch_next(kernel, product.right.buffer, several[-1], tiling.k, rows)


def _read_once(kernel: Kernel, nest: Nest, product: Product) -> frozenset[str]:
    """The inputs that the epilogue reads one element of for each result: they may be anywhere."""
    factors = {product.left.buffer, product.right.buffer, *kernel.outputs}
    inputs = {param.name for param in kernel.params} - factors
    axes = frozenset(loop.axis for loop in nest.loops if extent_of(loop) > 1)
    return frozenset(
        load.buffer
        for stmt in nest.body
        if isinstance(stmt, Store)
        for load in loads_of(stmt.value)
        if load.buffer in inputs and axes <= frozenset().union(*map(vars_of, load.indices))
    )


def _is_far(kernel: Kernel, product: Product, target: Target) -> bool:
    """Whether the right operands of all blocks together leave the nearest caches."""
    buffer = kernel.buffers[product.right.buffer]
    size = prod(buffer.memory_shape) * buffer.dtype.bytes
    return buffer in kernel.params and size > target.l2_bytes
