"""narrow-constants: constant factors of f32 products as a card multiplies them, once: rounded to
half the width where the precision allows it; of TF32 with their terms side by side.

matmul %x, %w  ->  matmul %x, cast(%w.bf16) {dtype = f32}
matmul %x, %w  ->  matmul %x, transpose(%w.turned) {perm = [1, 0]}

What is left of it at run time is done where the factor is read. A constant that something else uses
too stays as it is, rather than being there twice.
"""

from __future__ import annotations

from ..ir import Builder, Constant, Function, Op, Value, users_of
from ..ops.cast import Cast, cast
from ..ops.conv import Conv
from ..ops.matmul import Matmul
from ..ops.panels import PanelConv, PanelMatmul
from ..ops.shape import Transpose, transpose
from ..ops.table import TABLE
from ..target import Gpu, Target
from ..types import f32
from .constant_fold import as_constant

_PRODUCTS = (Matmul, PanelMatmul, Conv, PanelConv)
_TOGETHER = 4  # terms of TF32 that are copied at once


def narrow_constants(fn: Function, *, target: Target) -> Function:
    """Nothing where factors of f32 products are not rounded."""
    gpu = target.gpu
    if gpu is None or gpu.factors == "f32":
        return fn
    alone = {value for value, users in users_of(fn).items() if _is_f32(value) and len(users) == 1}
    builder = Builder(TABLE)
    values: dict[Value, Value] = dict(zip(fn.params, fn.params, strict=True))
    with builder.active():
        for node in fn.nodes:
            op = node.op.map_operands(values.__getitem__)
            with builder.at(node.location):
                for value in dict.fromkeys(node.op.operands):
                    if value in alone and isinstance(op, _PRODUCTS):
                        op = _with_ready(op, values[value], gpu)
                results = builder.again(node, op)
            values.update(zip(node.results, results, strict=True))
    return builder.remade(fn, [values[result] for result in fn.results])


def _is_f32(value: Value) -> bool:
    return isinstance(value.op, Constant) and value.dtype == f32


def _with_ready(op: Op, constant: Value, gpu: Gpu) -> Op:
    """A product with a constant factor of it as the card multiplies it."""
    ready = constant
    if gpu.narrow_factors is not None:
        ready = cast(as_constant(Cast(constant, gpu.narrow_factors)), f32)
    elif isinstance(op, Matmul) and op.rhs is constant and _is_turned(op):
        perm = (*range(constant.rank - 2), constant.rank - 1, constant.rank - 2)
        ready = transpose(as_constant(Transpose(constant, perm)), perm)
    return op.map_operands(lambda value: ready if value is constant else value)


def _is_turned(op: Matmul) -> bool:
    """Whether terms are to be neighbours: not of a vector, which goes along the columns."""
    terms = op.rhs.shape[-2]
    return isinstance(terms, int) and terms % _TOGETHER == 0 and op.lhs.shape[-2] != 1
