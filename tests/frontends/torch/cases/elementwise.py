"""Arithmetic, comparisons and functions of each element, and casts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import HALF, INF, SPECIAL, Call, Calls, b, i, p, r, v

_UNARY = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf",
    "erfc", "exp", "exp2", "expm1", "floor", "isfinite", "isinf", "isnan", "isneginf",
    "isposinf", "log", "log10", "log1p", "log2", "logical_not", "neg", "reciprocal", "round",
    "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "relu",
)  # fmt: skip
_OF_INTEGERS = ("abs", "ceil", "cos", "exp", "isnan", "isinf", "neg", "sqrt", "sign", "trunc")
_BINARY = (
    "add", "sub", "mul", "div", "eq", "ge", "gt", "le", "lt", "ne", "maximum", "minimum",
    "fmax", "fmin", "fmod", "remainder", "pow", "atan2", "logical_and", "logical_or",
    "logical_xor",
)  # fmt: skip
_BITS = ("bitwise_and", "bitwise_or", "bitwise_xor")


def _unary() -> Iterator[Call]:
    for name in _UNARY:
        call = getattr(torch, name)
        yield from ((call, (x,)) for x in (p(2, 3), SPECIAL, r(3, dtype=HALF)))
        if name in _OF_INTEGERS:
            yield call, (i(5, 4),)


def _binary() -> Iterator[Call]:
    for name in _BINARY:
        call = getattr(torch, name)
        yield call, (p(2, 3), p(3))
        yield call, (p(2, 1).to(HALF), p(3))
        yield call, (i(7, 4, low=1), p(4))
        yield call, (i(7, 4, low=1), i(5, 4, low=1, dtype=torch.int32))
        yield call, (i(7, 4, low=1), v(2.5)[0])
    for name in _BITS:
        call = getattr(torch, name)
        yield call, (b(4), b(4))
        yield call, (i(9, 4), i(9, 4))


CALLS: Calls = {
    "functions of one": list(_unary()),
    "functions of two": list(_binary()),
    "add with a factor": [
        (lambda x, y: torch.add(x, y, alpha=2), (r(2, 3), r(3))),
        (lambda x, y: torch.add(x, y, alpha=0.5), (r(3, dtype=HALF), r(3, dtype=HALF))),
        (lambda x, y: torch.add(x, y), (b(4), b(4))),
        (lambda x: x + 1.5, (i(4, 3),)),
        (lambda x: x + True, (i(4, 3),)),
        (lambda x: 1 - x, (r(3),)),
        (lambda x: torch.rsub(x, 2, alpha=3), (r(3),)),
        (lambda x, y: torch.sub(x, y, alpha=3), (r(3), r(3))),
        (lambda x: x * 0.1, (r(5, dtype=HALF),)),
        (lambda x: x > 0.1, (r(5, dtype=HALF),)),
        (lambda x, y: x * y, (b(4), b(4))),
        (lambda x, y: x + y, (i(4, 3, dtype=torch.int32), v(2)[0])),
        (lambda x, y: x + y, (r(3, dtype=HALF), v(0.3)[0])),
        (lambda x, y: x * y, (r(3, dtype=HALF), r(3, dtype=torch.float16))),
    ],
    "rounded quotients": [
        (lambda x, y, mode=mode: torch.div(x, y, rounding_mode=mode), (a, c))
        for mode in ("floor", "trunc")
        for a, c in ((r(6), p(6)), (i(9, 6, low=-9), i(4, 6, low=1)))
    ]
    + [
        (lambda x: x // 2, (i(9, 6, low=-9),)),
        (lambda x: x // 0.5, (r(6),)),
        (lambda x: x % 3, (i(9, 6, low=-9),)),
        (lambda x, y: torch.true_divide(x, y), (i(9, 6), i(4, 6, low=1))),
    ],
    "powers": [
        (lambda x, e=e: x**e, (p(4),)) for e in (0.5, -0.5, 1, -1, 2, 3, 4, 2.5, 0)
    ]
    + [
        (lambda x: x**2, (i(5, 4),)),
        (lambda x: x**2.0, (i(5, 4),)),
        (lambda x: 2**x, (r(4),)),
        (lambda x: torch.float_power(x, 2), (p(4),)),
    ],
    "shifts": [
        (lambda x: x << 2, (i(9, 4),)),
        (lambda x: x >> 1, (i(9, 4),)),
        (torch.bitwise_left_shift, (i(9, 4), i(3, 4))),
        (torch.bitwise_right_shift, (i(9, 4), i(3, 4))),
        (torch.bitwise_not, (b(4),)),
        (torch.bitwise_not, (i(9, 4),)),
    ],
    "where": [
        (torch.where, (b(2, 3), r(2, 3), r(3))),
        (lambda c, x: torch.where(c, x, 0), (b(2, 3), r(2, 3))),
        (lambda c, x: torch.where(c, x, 0.5), (b(2, 3), i(4, 3))),
        (lambda x, m: x.masked_fill(m, -INF), (r(2, 3), b(3))),
    ],
    "clamp": [
        (lambda x: x.clamp(-0.5, 0.5), (r(6),)),
        (lambda x: x.clamp(min=0), (SPECIAL,)),
        (lambda x: x.clamp(max=0.5), (i(4, 3),)),
        (lambda x, y: torch.clamp(x, y), (r(4), r(4))),
        (lambda x: torch.clamp_min(x, 0.2), (r(4),)),
        (lambda x: torch.clamp_max(x, 0.2), (r(4),)),
    ],
    "other arithmetic": [
        (torch.lerp, (r(4), r(4), p(4))),
        (lambda x, y: torch.lerp(x, y, 0.7), (r(4), r(4))),
        (lambda x: torch.round(x, decimals=1), (r(4),)),
        (torch.logit, (p(4) / 2,)),
        (lambda x: torch.logit(x, 0.1), (p(4),)),
        (torch.logaddexp, (r(4), r(4))),
        (lambda x, y, z: torch.addcmul(x, y, z, value=0.5), (r(4), r(4), r(4))),
        (lambda x, y, z: torch.addcdiv(x, y, z, value=0.5), (r(4), r(4), p(4))),
        (lambda x: torch.nan_to_num(x, 0.5, 1.0, -1.0), (SPECIAL,)),
        (lambda x: torch.fill(x, 2.5), (r(4),)),
        (lambda x: torch.frac(x), (r(4),)),
        (lambda x: torch.heaviside(x, x), (r(4),)),
        (lambda x: torch.sinc(x), (r(4),)),
        (lambda x, y: torch.xlogy(x, y), (p(4), p(4))),
        (lambda x, y: torch.hypot(x, y), (p(4), p(4))),
    ],
    "casts": [
        (lambda x: x.to(torch.float64), (r(3),)),
        (lambda x: x.to(HALF), (r(3),)),
        (lambda x: x.half(), (r(3),)),
        (lambda x: x.long(), (r(3) * 9,)),
        (lambda x: x.bool(), (v(0.0, 0.5, -1.0),)),
        (lambda x: x.float(), (b(3),)),
        (torch.ops.aten.copy, (r(2, 3, dtype=HALF), r(3))),
        (lambda x, y: x.type_as(y), (i(3, 3), r(2))),
        (lambda x: x.clone().contiguous().detach(), (r(2, 3),)),
        (lambda x: F.dropout(x, 0.5, training=False), (r(3),)),
    ],
}
