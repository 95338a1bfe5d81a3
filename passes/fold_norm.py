"""fold-norm: a batch normalisation after a convolution or a product goes into its weights.

batch_norm(conv(x, w), s, b, m, v)  ->  conv(x, w * f) + (b - m * f)   with f = s / sqrt(v + ε)
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Function, Value, current_builder, rewrite, rewrite_all, users_of
from ..ir.rewrite import Pattern
from ..ops.arithmetic import Add
from ..ops.broadcast import Broadcast
from ..ops.constant import Constant
from ..ops.conv import Conv
from ..ops.norm import BatchNorm
from ..ops.shape import Reshape, reshape
from ..ops.table import TABLE
from ..ops.unary import rsqrt


def fold_norm(fn: Function) -> Function:
    """Fold batch normalisations whose statistics and weights are constants."""
    users = users_of(fn)
    shared = {value for value, nodes in users.items() if len(nodes) > 1} | set(fn.results)
    return rewrite_all(fn, [_fold_batch_norm(shared)], TABLE, fuel=1)


def _fold_batch_norm(shared: set[Value]) -> Pattern:
    @rewrite(BatchNorm)
    def fold_batch_norm(op: BatchNorm) -> Value | None:
        """batch_norm(conv(x, w) [+ bias])  ->  conv(x, w * f) + shift"""
        conv, bias = _conv_and_bias(op.x)
        if conv is None or op.axis != 1 or conv.layout != "nchw":
            return None
        if any(value in shared for value in (op.x,)) or not _all_constant(op, conv):
            return None
        factor = op.scale * rsqrt(op.variance + op.epsilon)
        mean = op.mean if bias is None else op.mean - bias
        shift = op.bias - mean * factor
        out = conv.weight.shape[0]
        weight = conv.weight * reshape(factor, (out, *(1,) * (conv.weight.rank - 1)))
        (folded,) = current_builder().emit(replace(conv, weight=weight))
        return folded + reshape(shift, (out, *(1,) * (op.x.rank - 2)))

    return fold_batch_norm


def _conv_and_bias(value: Value) -> tuple[Conv | None, Value | None]:
    """A convolution, and what is added per channel after it (one element a channel)."""
    match value.op:
        case Conv() as conv:
            return conv, None
        case Add(lhs=Value(op=Conv() as conv), rhs=Value(op=Broadcast(x=x))):
            per_channel = conv.weight.shape[0]
            flat = x.op.x if isinstance(x.op, Reshape) else x
            if flat.shape == (per_channel,) and isinstance(flat.op, Constant):
                return conv, flat
            if isinstance(x.op, Constant) and x.type.elements == per_channel:
                return conv, reshape(x, (per_channel,))
    return None, None


def _all_constant(op: BatchNorm, conv: Conv) -> bool:
    values = (op.scale, op.bias, op.mean, op.variance, conv.weight)
    return all(isinstance(value.op, Constant) for value in values)
