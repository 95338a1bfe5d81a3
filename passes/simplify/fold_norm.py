"""fold-norm: a batch normalisation after a convolution goes into its weights.

batch_norm(conv(x, w), s, b, m, v)  ->  conv(x, w * f) + (b - m * f)   with f = s / sqrt(v + ε)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ...ir import Constant, Function, Op, Value, current_builder, transform
from ...ops.base.broadcast import Broadcast
from ...ops.elementwise.arithmetic import Add
from ...ops.elementwise.unary import rsqrt
from ...ops.nn.norm import BatchNorm
from ...ops.shapes.shape import Reshape, reshape
from ...ops.table import TABLE
from ...ops.windows.conv import Conv


def fold_norm(fn: Function) -> Function:
    """Fold batch normalisations whose statistics and weights are constants.

    A convolution that something else reads too stays: folding would compute it twice.
    """
    users = Counter(operand for node in fn.nodes for operand in node.op.operands)
    users.update(fn.results)
    # Of the function as it is: `transform` visits the nodes in their order, on new operands.
    alone = iter([_reads_alone(users, node.op) for node in fn.nodes])

    def visit(op: Op) -> Value | None:
        return fold_batch_norm(op) if next(alone) and isinstance(op, BatchNorm) else None

    return transform(fn, visit, TABLE)


def fold_batch_norm(op: BatchNorm) -> Value | None:
    """batch_norm(conv(x, w) [+ bias])  ->  conv(x, w * f) + shift"""
    conv, bias = _conv_and_bias(op.x)
    if conv is None or op.axis != 1 or conv.layout != "nchw" or not _all_constant(op, conv):
        return None
    factor = op.scale * rsqrt(op.variance + op.epsilon)
    mean = op.mean if bias is None else op.mean - bias
    shift = op.bias - mean * factor
    out = conv.weight.shape[0]
    weight = conv.weight * reshape(factor, (out, *(1,) * (conv.weight.rank - 1)))
    (folded,) = current_builder().emit(replace(conv, weight=weight))
    return folded + reshape(shift, (out, *(1,) * (op.x.rank - 2)))


def _reads_alone(users: Mapping[Value, int], op: Op) -> bool:
    """Whether nothing else reads the convolution (and its bias) that a normalisation reads."""
    if not isinstance(op, BatchNorm):
        return False
    inner = op.x.op.lhs if isinstance(op.x.op, Add) else op.x
    return users[op.x] == users[inner] == 1


def _conv_and_bias(value: Value) -> tuple[Conv | None, Value | None]:
    """A convolution, and the constant of one element a channel that is added after it."""
    match value.op:
        case Conv() as conv:
            return conv, None
        case Add(lhs=Value(op=Conv() as conv), rhs=Value(op=Broadcast(x=x))):
            channels = conv.weight.shape[0]
            along = (*(1,) * (value.rank - x.rank), *x.shape)
            source = x.op.x if isinstance(x.op, Reshape) else x
            per_channel = along == (1, channels, *(1,) * (value.rank - 2))
            if per_channel and isinstance(source.op, Constant):
                return conv, reshape(x, (channels,))
    return None, None


def _all_constant(op: BatchNorm, conv: Conv) -> bool:
    values = (op.scale, op.bias, op.mean, op.variance, conv.weight)
    return all(isinstance(value.op, Constant) for value in values)
