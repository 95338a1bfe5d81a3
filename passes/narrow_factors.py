"""narrow-factors: factors of f32 products in the form that a card multiplies, where that costs
nothing: rounded to half the width if the precision allows it, constants when the program is built,
others where they are computed; constants of TF32 with their terms side by side.

matmul %x, %w        ->  matmul %x, cast(%w.bf16) {dtype = f32}
matmul relu(%x), %w  ->  matmul cast(barrier(cast(relu(%x)) {dtype = bf16})) {dtype = f32}, %w
matmul %x, %w        ->  matmul %x, transpose(%w.turned) {perm = [1, 0]}

What is left of it is done where the factor is read. One that something else uses than products, or
for TF32 than one, stays as it is, rather than being there twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Builder, Constant, Function, Node, Op, Value, users_of
from ..ops.cast import Cast, cast
from ..ops.checkpoint import Barrier
from ..ops.conv import Conv
from ..ops.elementwise import Elementwise, emit
from ..ops.matmul import Matmul
from ..ops.panels import PanelConv, PanelMatmul
from ..ops.shape import Transpose, transpose
from ..ops.table import TABLE
from ..target import Gpu, Target
from ..types import f32
from .constant_fold import as_constant

_PRODUCTS = (Matmul, PanelMatmul, Conv, PanelConv)
_TOGETHER = 4  # terms of TF32 that are copied at once


def narrow_factors(fn: Function, *, target: Target) -> Function:
    """Nothing where factors of f32 products are not rounded."""
    gpu = target.gpu
    if gpu is None or gpu.factors == "f32":
        return fn
    used, most = users_of(fn), 1 if gpu.narrow_factors is None else len(fn.nodes)
    multiplied = {value for value in used if _are_products(used[value], most)} - set(fn.results)
    builder = Builder(TABLE)
    values: dict[Value, Value] = dict(zip(fn.params, fn.params, strict=True))
    ready: dict[Value, Value] = {}
    with builder.active():
        for node in fn.nodes:
            op = node.op.map_operands(values.__getitem__)
            with builder.at(node.location):
                for value in dict.fromkeys(node.op.operands):
                    if value not in multiplied or value.dtype != f32:
                        continue
                    factor = values[value]
                    if value not in ready:
                        ready[value] = _ready(op, factor, gpu)
                    op = _replaced(op, factor, ready[value])
                results = builder.again(node, op)
            values.update(zip(node.results, results, strict=True))
    return builder.remade(fn, [values[result] for result in fn.results])


def _are_products(nodes: Sequence[Node], most: int) -> bool:
    return len(nodes) <= most and all(isinstance(node.op, _PRODUCTS) for node in nodes)


def _replaced(op: Op, factor: Value, ready: Value) -> Op:
    return op.map_operands(lambda value: ready if value is factor else value)


def _ready(op: Op, factor: Value, gpu: Gpu) -> Value:
    """A factor of a product as the card multiplies it."""
    dtype = gpu.narrow_factors
    match factor.op:
        case Constant() if dtype is not None:
            return cast(as_constant(Cast(factor, dtype)), f32)
        case Constant() if isinstance(op, Matmul) and op.rhs is factor and _is_turned(op):
            perm = (*range(factor.rank - 2), factor.rank - 1, factor.rank - 2)
            return transpose(as_constant(Transpose(factor, perm)), perm)
        case Elementwise() | Matmul() | PanelMatmul() | Conv() | PanelConv() if dtype is not None:
            # The barrier parts the kernel that computes it from the one that reads it.
            return cast(emit(Barrier(cast(factor, dtype))), f32)
    return factor


def _is_turned(op: Matmul) -> bool:
    """Whether terms are to be neighbours: not of a vector, which goes along the columns."""
    terms = op.rhs.shape[-2]
    return isinstance(terms, int) and terms % _TOGETHER == 0 and op.lhs.shape[-2] != 1
