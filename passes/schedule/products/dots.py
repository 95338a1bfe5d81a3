"""Products of narrow numbers by instructions that sum a few neighbouring products in each lane:

    for k: unroll m.i: unroll n.i.o: call @vpdpbusd(acc[m.i, n.i.o, 0], a[m, 4 * k], b[k, n, 0])

A few neighbours of a row of the left operand are one 32-bit element, the same for all lanes, and
all else is as in any other product.
"""

from __future__ import annotations

from dataclasses import replace

from ....target import Target
from ....tile.instructions.table import INSTRUCTIONS
from ....tile.nodes import Kernel, Kind
from ....tile.steps.addends import start_with_addend
from ....tile.steps.loops import mark
from ....tile.steps.tensorise import tensorise
from ..analysis import Nest, Product
from ..reductions import schedule_reduction
from .gemm import schedule_product
from .matrices import schedule_matrices
from .matrix_operands import as_matrices


def schedule_dots(kernel: Kernel, nest: Nest, product: Product, target: Target) -> Kernel:
    """Tile a product whose innermost loop an instruction does, and leave that loop innermost; plain
    widening arithmetic where the target lacks it, or the columns do not come in whole vectors."""
    matrices = as_matrices(kernel, nest, product, target)
    if matrices is not None:
        return schedule_matrices(kernel, nest, matrices, target)
    whole = (product.panel or 0) % target.lanes(product.total) == 0
    if product.dots is None or product.dots.name not in target.dot_instructions or not whole:
        return schedule_reduction(kernel, nest, target)
    # What follows short sums takes as long as they do; in f32 it would be rounded otherwise.
    kernel, body = start_with_addend(kernel, nest.body, product.n)
    nest = replace(nest, body=body)
    kernel = mark(kernel, product.together, Kind.UNROLL)
    return schedule_product(kernel, nest, product, target)


def use_dots(kernel: Kernel, target: Target) -> Kernel:
    """Call the target's instructions where loops do what they do. This comes last, for no other
    step looks into calls."""
    types = {buffer.dtype for buffer in kernel.buffers.values()}
    for name in sorted(target.dot_instructions):
        instruction = INSTRUCTIONS[name]
        if types.issuperset(param.dtype for param in instruction.params):
            kernel = tensorise(kernel, instruction)
    return kernel
