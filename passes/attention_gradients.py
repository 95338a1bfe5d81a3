"""Gradients of attention: in blocks where the target has a kernel for that, else written out.

attention_gradient(q, k, v, ..)  ->  blocked_attention_gradient(q, k, v, ..) {rows, columns}
"""

from __future__ import annotations

from ..ir import Function, Op, Replacement, current_builder, transform
from ..ops.attention_gradient import AttentionGradient, BlockedAttentionGradient
from ..ops.table import TABLE
from ..target import Target
from .schedule.gpu.attention_tiles import gradient_blocks


def gradients(fn: Function, target: Target) -> Function:
    """Write every one of them in one of the two ways."""

    def visit(op: Op) -> Replacement:
        if not isinstance(op, AttentionGradient):
            return None
        sizes = _sizes(op, target)
        if sizes is None:
            return op.decompose(*op.arguments({value: value for value in op.operands}))
        made = BlockedAttentionGradient(
            op.queries, op.keys, op.values, op.mask, op.along, op.arrived, op.scale, *sizes,
            op.causal,
        )  # fmt: skip
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
    sizes = of_queries.static_shape, of_values.static_shape
    return gradient_blocks(*sizes, op.queries.dtype, target.gpu)
