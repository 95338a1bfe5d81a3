"""What the kernel of a group is, and what makes it a slow one."""

from __future__ import annotations

from ...expr import Expr
from ...ir import Function
from ...ops.algorithms.panels import PanelConv, PanelMatmul
from ...ops.base.factors import PLAIN
from ...ops.products.matmul import Matmul
from ...ops.windows.conv import Conv
from ...target import Target
from ...tile.nodes import Kernel, Space, Store
from ...tile.traverse import walk
from ...tile.tree import extent_of, var
from ..lowering.handmade import brings_kernel
from ..schedule.analysis import Nest, Product, as_product, nests_of, stride
from ..schedule.cost.inner import is_few
from ..schedule.products.gated import gates_of
from ..schedule.products.inner import as_inner, inner_sizes
from ..schedule.separable import separable_of

FOLLOWED_STEP = 2048  # bytes: half a page, which a load's next place is guessed within
MANY = 256  # terms, and columns
PRODUCTS = (Matmul, PanelMatmul, Conv, PanelConv)
GATES = "gates"  # of a product and what its columns' parts become (`schedule/products/gated.py`)


def kind_of(region: Function, kernel: Kernel, target: Target | None) -> str:
    """What a region with this kernel is on a target, in a word: for people who read the dump."""
    operations = [node.op for node in region.nodes]
    handmade = [op.name for op in operations if brings_kernel(op)]
    if handmade:
        return handmade[0]
    if gates_of(kernel) is not None:
        return GATES
    if is_separable(kernel, target):
        return "separable"
    nests = nests_of(kernel)
    if len(nests) > 1 or any(buffer.space is Space.SHARED for buffer in kernel.locals):
        return "rows"
    if not nests[0].reductions:
        return "elementwise"
    if any(isinstance(op, PRODUCTS) and op.factors != PLAIN for op in operations):
        return "product"
    product = as_product(kernel, nests[0]) or as_inner(kernel, nests[0])
    return "product" if product else "reduction"


def is_separable(kernel: Kernel, target: Target | None) -> bool:
    """Whether a kernel is of windows and their product (`schedule/separable.py`), and that pays."""
    return target is not None and target.gpu is None and separable_of(kernel, target) is not None


def strides_far(kernel: Kernel, nest: Nest, product: Product) -> bool:
    """Whether the sums of a product go through its left operand in steps that no processor fetches
    ahead, often enough that to turn it first costs less."""
    buffer, (sums, *others) = kernel.buffers[product.left.buffer], nest.reductions[0]
    step = (stride(buffer, product.left.indices, sums.axis) or 0) * buffer.dtype.bytes
    many = min(extent_of(sums), nest.extent(product.n)) >= MANY
    return not others and step > FOLLOWED_STEP and many


def is_few_along(kernel: Kernel, nest: Nest) -> bool:
    """Whether a nest is a product of a few rows or columns, summed along the rows of both operands
    as they lie."""
    found = as_inner(kernel, nest)
    if found is None:
        return False
    return is_few(found.rows, inner_sizes(nest, found).depth, found.columns)


def is_scattered(kernel: Kernel) -> bool:
    """Whether a product's result would be written elsewhere than in the order of its loops."""
    (nest,) = nests_of(kernel)
    for stmt in walk(kernel.body):
        if isinstance(stmt, Store) and stmt.target.buffer in kernel.outputs:
            axes: list[Expr] = [var(axis) for axis in nest.axes]
            if [place for place in stmt.target.indices if place in axes] != axes:
                return True
    return False
