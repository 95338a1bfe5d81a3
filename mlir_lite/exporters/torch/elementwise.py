"""Operations that compute each element by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

from ...ir import Op, Value
from ...ops.base.cast import Cast
from ...ops.elementwise import activation, arithmetic, compare, gate, select, trigonometry, unary
from ...ops.nn.losses import BinaryCrossEntropy
from ...types import f64
from .arrays import TORCH_TYPES
from .site import Call, Tensor, plain, with_op

# Functions of the operands alone.
_FUNCTIONS: Mapping[type[Op], Callable[..., Tensor]] = {
    unary.Negative: torch.neg,
    unary.Absolute: torch.abs,
    unary.Round: torch.round,
    unary.Floor: torch.floor,
    unary.Ceil: torch.ceil,
    unary.Trunc: torch.trunc,
    unary.Sqrt: torch.sqrt,
    unary.Rsqrt: torch.rsqrt,
    unary.Reciprocal: torch.reciprocal,
    unary.Square: torch.square,
    unary.Exp: torch.exp,
    unary.Exp2: torch.exp2,
    unary.Expm1: torch.expm1,
    unary.Log: torch.log,
    unary.Log1p: torch.log1p,
    unary.Log2: torch.log2,
    unary.Log10: torch.log10,
    unary.Erf: torch.erf,
    trigonometry.Sin: torch.sin,
    trigonometry.Cos: torch.cos,
    trigonometry.Tan: torch.tan,
    trigonometry.Arcsin: torch.asin,
    trigonometry.Arccos: torch.acos,
    trigonometry.Arctan: torch.atan,
    trigonometry.Sinh: torch.sinh,
    trigonometry.Cosh: torch.cosh,
    trigonometry.Tanh: torch.tanh,
    trigonometry.Arcsinh: torch.asinh,
    trigonometry.Arccosh: torch.acosh,
    trigonometry.Arctanh: torch.atanh,
    arithmetic.Subtract: torch.sub,
    arithmetic.Multiply: torch.mul,
    arithmetic.Divide: torch.div,
    arithmetic.Minimum: torch.minimum,
    arithmetic.Maximum: torch.maximum,
    arithmetic.Arctan2: torch.atan2,
    compare.Equal: torch.eq,
    compare.NotEqual: torch.ne,
    compare.Less: torch.lt,
    compare.LessEqual: torch.le,
    compare.Greater: torch.gt,
    compare.GreaterEqual: torch.ge,
    compare.Isnan: torch.isnan,
    compare.Isinf: torch.isinf,
    compare.Isfinite: torch.isfinite,
    compare.LogicalNot: torch.logical_not,
    compare.LogicalAnd: torch.logical_and,
    compare.LogicalOr: torch.logical_or,
    compare.LogicalXor: torch.logical_xor,
    compare.BitwiseNot: torch.bitwise_not,
    compare.BitwiseAnd: torch.bitwise_and,
    compare.BitwiseOr: torch.bitwise_or,
    compare.BitwiseXor: torch.bitwise_xor,
    compare.LeftShift: torch.bitwise_left_shift,
    compare.RightShift: torch.bitwise_right_shift,
    activation.Sigmoid: torch.sigmoid,
    activation.Relu: torch.relu,
    activation.Softplus: F.softplus,
    activation.Softsign: F.softsign,
    gate.Silu: F.silu,
    gate.Mish: F.mish,
    gate.HardSwish: F.hardswish,
    select.Where: torch.where,
}


def _sign(op: unary.Sign, x: Tensor) -> Tensor:
    sign = torch.sign(x)
    return torch.where(torch.isnan(x), x, sign) if op.x.dtype.is_float else sign


def _cast(op: Cast, x: Tensor) -> Tensor:
    """Saturating from floats to integers, where torch leaves what does not fit undefined."""
    to = TORCH_TYPES[op.dtype]
    if not (op.x.dtype.is_float and op.dtype.is_integer):
        return x.to(to)
    least, most = torch.iinfo(to).min, torch.iinfo(to).max
    fits = (x > least) & (x < most + 1)  # NaN does not
    whole = torch.where(fits, x, 0).to(to)
    return torch.where(x >= most + 1, most, torch.where(x <= least, least, whole))


def _quotient(rounding: str) -> Call:
    """The call of a quotient of integers by zero 0, of floats as it comes."""

    def call(op: arithmetic.FloorDivide, lhs: Tensor, rhs: Tensor) -> Tensor:
        if not op.lhs.dtype.is_integer:
            return torch.div(lhs, rhs, rounding_mode=rounding)
        quotient = torch.div(lhs, _harmless(op.rhs, rhs), rounding_mode=rounding)
        negated = quotient if op.lhs.dtype.kind == "u" else torch.where(rhs == -1, -lhs, quotient)
        return torch.where(rhs == 0, 0, negated)

    return with_op(call)


def _remainder(function: Callable[[Tensor, Tensor], Tensor]) -> Call:
    """The call of a remainder, of integers by zero 0."""

    def call(op: arithmetic.Mod, lhs: Tensor, rhs: Tensor) -> Tensor:
        if not op.lhs.dtype.is_integer:
            return function(lhs, rhs)
        return torch.where(rhs == 0, 0, function(lhs, _harmless(op.rhs, rhs)))

    return with_op(call)


def _harmless(divisor: Value, tensor: Tensor) -> Tensor:
    """1 for the divisors that end the process: 0, and -1 of the least integer. By both the
    remainder is 0."""
    harmful = tensor == 0 if divisor.dtype.kind == "u" else (tensor == 0) | (tensor == -1)
    return torch.where(harmful, 1, tensor)


def _power(op: arithmetic.Power, lhs: Tensor, rhs: Tensor) -> Tensor:
    if not op.lhs.dtype.is_integer:
        return torch.pow(lhs, rhs)
    return torch.where(rhs < 0, 0, torch.pow(lhs, torch.clamp(rhs, min=0)))


def _clip(op: select.Clip, x: Tensor) -> Tensor:
    if op.minimum is None and op.maximum is None:
        return x
    return torch.clamp(x, op.minimum, op.maximum)


def _thresholded_relu(op: activation.ThresholdedRelu, x: Tensor) -> Tensor:
    return torch.where(x > op.alpha, x, 0)


def _shrink(op: activation.Shrink, x: Tensor) -> Tensor:
    above = torch.where(x > op.threshold, x - op.bias, 0)
    return torch.where(x < -op.threshold, x + op.bias, above)


def _flush(op: unary.Flush, x: Tensor) -> Tensor:
    least = torch.finfo(torch.float64 if op.x.dtype == f64 else torch.float32).tiny
    return torch.where(torch.abs(x) < least, x * 0, x)


def _binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


CALLS: Mapping[type[Op], Call] = {
    **{cls: plain(function) for cls, function in _FUNCTIONS.items()},
    unary.Sign: with_op(_sign),
    Cast: with_op(_cast),
    arithmetic.FloorDivide: _quotient("floor"),
    arithmetic.TruncatedDivide: _quotient("trunc"),
    arithmetic.Mod: _remainder(torch.remainder),
    arithmetic.TruncatedMod: _remainder(torch.fmod),
    arithmetic.Power: with_op(_power),
    select.Clip: with_op(_clip),
    activation.LeakyRelu: with_op(lambda op, x: F.leaky_relu(x, op.alpha)),
    activation.Prelu: plain(lambda x, slope: torch.where(x >= 0, x, x * slope)),
    activation.ThresholdedRelu: with_op(_thresholded_relu),
    activation.Elu: with_op(lambda op, x: F.elu(x, op.alpha)),
    activation.Selu: with_op(lambda op, x: F.elu(x, op.alpha) * op.gamma),
    activation.Celu: with_op(lambda op, x: F.celu(x, op.alpha)),
    activation.HardSigmoid: with_op(lambda op, x: torch.clamp(x * op.alpha + op.beta, 0, 1)),
    activation.Shrink: with_op(_shrink),
    unary.Flush: with_op(_flush),
    gate.Gelu: with_op(lambda op, x: F.gelu(x, approximate=op.approximate)),
    gate.QuickGelu: with_op(lambda op, x: x * torch.sigmoid(x * op.alpha)),
    BinaryCrossEntropy: plain(_binary_cross_entropy),
}
