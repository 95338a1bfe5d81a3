"""narrow-factors: what factors of f32 products are rounded to, where the precision allows it and a
card has units for it; and factors in the form that these multiply, where that costs nothing:
constants rounded when the program is built, others where they are computed or brought into another
order; constants of TF32 with their terms side by side.

matmul %x, %w        ->  matmul %x, %w {factors = "tf32"}
matmul %x, %w        ->  matmul %x, cast(%w.bf16) {dtype = f32} {factors = "bf16"}
matmul relu(%x), %w  ->  matmul cast(barrier(cast(relu(%x)) {dtype = bf16})) {dtype = f32}, %w
matmul relu(%x), %w  ->  matmul tf32_cut(barrier(tf32(relu(%x)))), %w
matmul %x, %w        ->  matmul %x, transpose(tf32_cut(%w.turned)) {perm = [1, 0]}

What is left of it is done before the product or where the factor is read. One that something else
uses than products stays as it is, rather than being there twice. Products too small for the units
multiply f32.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ...ir import Builder, Constant, Function, Op, Value, users_of
from ...ops.algorithms.panels import PackFilters, PanelConv, PanelMatmul
from ...ops.base.cast import Cast, cast
from ...ops.base.elements import Elementwise, emit
from ...ops.elementwise.tf32 import Tf32, Tf32Cut
from ...ops.nn.blocked_attention import BlockedAttention
from ...ops.products.matmul import Matmul
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.shape import Reshape, Transpose, reshape, transpose
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...target import Gpu, Target
from ...types import f32
from ..simplify.constant_fold import as_constant

_CONVOLUTIONS = (Conv, PanelConv)
_PRODUCTS = (Matmul, PanelMatmul, *_CONVOLUTIONS)
_COMPUTED = (Elementwise, PackFilters, BlockedAttention, *_PRODUCTS)
_TOGETHER = 4  # terms of TF32 that are copied at once


def narrow_factors(fn: Function, *, target: Target) -> Function:
    """Nothing where factors of f32 products are not rounded."""
    gpu = target.gpu
    if gpu is None or gpu.factors == "f32":
        return fn
    used, narrow = users_of(fn), gpu.narrow_factors is not None
    multiplied = {
        value
        for value, nodes in used.items()
        if value.dtype == f32 and all(_is_product(node.op, narrow) for node in nodes)
    } - set(fn.results)
    # What is seen in another shape alone is rounded before that.
    viewed = {value for value, nodes in used.items() if len(nodes) == 1} - set(fn.results)
    builder = Builder(TABLE)
    values: dict[Value, Value] = dict(zip(fn.params, fn.params, strict=True))
    ready: dict[Value, Value] = {}

    def narrowed(op: Op) -> Op:
        """An operation on new values, its factors ready."""
        made = op.map_operands(values.__getitem__)
        for value in dict.fromkeys(op.operands):
            if value not in multiplied:
                continue
            if value not in ready:
                is_view = isinstance(value.op, Reshape) and value.op.x in viewed
                ready[value] = _ready(made, values[value], gpu, is_view=is_view)
            made = _replaced(made, values[value], ready[value])
        return rounding_factors(made, gpu.factors)

    with builder.active():
        for node in fn.nodes:
            with builder.at(node.location):
                results = builder.again(node, narrowed(node.op))
            values.update(zip(node.results, results, strict=True))
    return builder.remade(fn, [values[result] for result in fn.results])


def rounding_factors(op: Op, factors: str) -> Op:
    """A product that says what its factors are rounded to, if units of matrices are for it."""
    if not isinstance(op, _PRODUCTS) or any(value.dtype != f32 for value in op.operands):
        return op
    # Lazy: what a CPU never needs.
    from ..schedule.gpu.products.contraction import LEAST

    rows, columns, terms = _sizes(op)
    whole = min(rows, columns) > 1 and max(rows, columns) >= LEAST and terms >= LEAST
    return replace(op, factors=factors) if whole else op


def _sizes(op: Matmul | PanelMatmul | Conv | PanelConv) -> tuple[int, int, int]:
    """Rows, columns and terms of a product, in each of its batches."""
    match op:
        case Matmul(lhs=left, rhs=right):
            (*outer, m, k), (*inner, _, n) = left.type.static_shape, right.type.static_shape
            lefts, rights = prod(outer), prod(inner)
            # All rows that meet one matrix, or columns, are those of one product.
            return m * (lefts if rights == 1 else 1), n * (rights if lefts == 1 else 1), k
        case PanelMatmul(lhs=left, panels=panels):
            shape = left.type.static_shape
            return prod(shape[panels.rank - 3 : -1]), op.columns, shape[-1]
        case Conv(weight=weight):
            out, *taps = weight.type.static_shape
            return prod(op.infer().static_shape) // out, out // op.groups, prod(taps)
        case PanelConv(panels=panels):
            _, *taps, _ = panels.type.static_shape
            return prod(op.infer().static_shape) // op.channels, op.channels, prod(taps)


def _is_product(op: Op, narrow: bool) -> bool:
    """Whether an operation rounds its factors: those of a vector only if they are `narrow` then."""
    is_of_vector = isinstance(op, Matmul) and op.lhs.shape[-2] == 1
    return isinstance(op, _PRODUCTS) and (narrow or not is_of_vector)


def _replaced(op: Op, factor: Value, ready: Value) -> Op:
    return op.map_operands(lambda value: ready if value is factor else value)


def _ready(op: Op, factor: Value, gpu: Gpu, *, is_view: bool) -> Value:
    """A factor of a product as the card multiplies it; perhaps a view of what has no other use."""
    turned = gpu.narrow_factors is None and _is_turned(op, factor)
    perm = (*range(factor.rank - 2), factor.rank - 1, factor.rank - 2)
    if isinstance(factor.op, Constant):
        stored = as_constant(Transpose(factor, perm)) if turned else factor
        made = _read(as_constant(_rounding(stored, gpu)))
    elif factor.op is not None and _is_written(op, factor.op):
        turned = turned and isinstance(factor.op, PackFilters)  # which reads what it is given so
        written = transpose(factor, perm) if turned else factor
        made = _read(_kept(written, gpu))
    elif is_view and isinstance(factor.op, Reshape) and isinstance(factor.op.x.op, _COMPUTED):
        return _read(reshape(_kept(factor.op.x, gpu), factor.op.shape))
    else:
        return factor
    return transpose(made, perm) if turned else made


def _kept(factor: Value, gpu: Gpu) -> Value:
    """A factor that is rounded by the kernel that computes it, which a barrier parts from the one
    that reads it."""
    return emit(Barrier(emit(_rounding(factor, gpu))))


def _rounding(factor: Value, gpu: Gpu) -> Op:
    return Tf32(factor) if gpu.narrow_factors is None else Cast(factor, gpu.narrow_factors)


def _read(rounded: Value) -> Value:
    """What is multiplied of a rounded factor in memory."""
    return emit(Tf32Cut(rounded)) if rounded.dtype == f32 else cast(rounded, f32)


def _is_written(op: Op, factor: Op) -> bool:
    """Whether a kernel writes a factor in any case. A transpose may be done where it is read, but
    not where windows read it many times."""
    if isinstance(factor, Transpose):
        return isinstance(op, _CONVOLUTIONS)
    return isinstance(factor, _COMPUTED)


def _is_turned(op: Op, factor: Value) -> bool:
    """Whether terms, which a factor has before its columns, are to be neighbours."""
    match op:
        case Matmul(rhs=right) | PanelConv(panels=right):
            terms = factor.shape[-2]
            return right is factor and isinstance(terms, int) and terms % _TOGETHER == 0
    return False
