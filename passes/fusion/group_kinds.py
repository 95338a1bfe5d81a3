"""What the kernel of a group is, and what makes it a slow one."""

from __future__ import annotations

from ...expr import Expr
from ...ir import Function
from ...tile.nodes import Kernel, Space, Store
from ...tile.traverse import walk
from ...tile.tree import var
from ..lowering.handmade import brings_kernel
from ..schedule.analysis import as_product, nests_of
from ..schedule.products.gated import gates_of

GATES = "gates"  # of a product and what its columns' parts become (`schedule/products/gated.py`)


def kind_of(region: Function, kernel: Kernel) -> str:
    """What a region with this kernel is, in a word: for people who read the dump."""
    handmade = [node.op.name for node in region.nodes if brings_kernel(node.op)]
    if handmade:
        return handmade[0]
    if gates_of(kernel) is not None:
        return GATES
    nests = nests_of(kernel)
    if len(nests) > 1 or any(buffer.space is Space.SHARED for buffer in kernel.locals):
        return "rows"
    if not nests[0].reductions:
        return "elementwise"
    return "product" if as_product(kernel, nests[0]) else "reduction"


def is_scattered(kernel: Kernel) -> bool:
    """Whether a product's result would be written elsewhere than in the order of its loops."""
    (nest,) = nests_of(kernel)
    for stmt in walk(kernel.body):
        if isinstance(stmt, Store) and stmt.target.buffer in kernel.outputs:
            axes: list[Expr] = [var(axis) for axis in nest.axes]
            if [place for place in stmt.target.indices if place in axes] != axes:
                return True
    return False
