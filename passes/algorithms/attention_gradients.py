"""Gradients of attention: in blocks where the target has a kernel for that, else written out.

attention_gradient(q, k, v, ..)  ->  blocked_attention_gradient(q, k, v, ..) {rows, columns}
"""

from __future__ import annotations

from ...ir import Function, Op, Replacement, Value, current_builder, transform
from ...ops.base.cast import cast
from ...ops.nn.attention_gradient import AttentionGradient, BlockedAttentionGradient
from ...ops.table import TABLE
from ...target import Target
from ...types import f32


def gradients(fn: Function, target: Target) -> Function:
    """Write every one of them in one of the two ways."""

    def visit(op: Op) -> Replacement:
        if not isinstance(op, AttentionGradient):
            return None
        sizes = _sizes(op, target)
        if sizes is None:
            return op.decompose(*op.arguments({value: value for value in op.operands}))
        operands = (op.queries, op.keys, op.values, op.arrived)
        queries, keys, values, arrived = rounded_to(operands, target)
        made = BlockedAttentionGradient(
            queries, keys, values, op.mask, op.along, arrived, op.scale, *sizes, op.causal
        )
        return current_builder().emit(made)

    return transform(fn, visit, TABLE)


def _sizes(op: AttentionGradient, target: Target) -> tuple[int, int] | None:
    """Queries (or keys) and columns of a block; None where there is no kernel."""
    of_queries, _, of_values = op.infer()
    whole = of_queries.shape[:-2] == of_values.shape[:-2]
    if target.gpu is None or not whole or not of_values.is_static or not of_values.elements:
        return None
    if not of_queries.elements:
        return None
    from ..schedule.gpu.attention.tiles import gradient_blocks  # lazy: what a CPU never needs

    sizes = of_queries.static_shape, of_values.static_shape
    return gradient_blocks(*sizes, op.queries.dtype, target.gpu)


def rounded_to(values: tuple[Value, ...], target: Target) -> tuple[Value, ...]:
    """Factors of f32 products in the type that the target may round them to, where they are
    computed rather than where each block of a product reads them."""
    factors = None if target.gpu is None else target.gpu.narrow_factors
    if factors is None or values[0].dtype != f32:
        return values
    return tuple(cast(value, factors) for value in values)
