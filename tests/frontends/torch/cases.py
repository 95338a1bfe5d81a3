"""Calls of torch for every operator that is read, each with inputs at which it is compared.

Inputs are numbered by their axes: two of one shape and kind are different tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional

A = torch.ops.aten
Tensor = Any  # torch has no static types here


_SOURCE = torch.Generator().manual_seed(0)


def r(*shape: int, dtype: Any = None) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=_SOURCE).to(dtype or torch.float32)


def p(*shape: int) -> Tensor:
    """Numbers from 0.1 to 1.1."""
    return torch.rand(shape, generator=_SOURCE) + 0.1


def i(high: int, *shape: int, low: int = 0, dtype: Any = torch.int64) -> Tensor:
    """Integers below `high`."""
    return torch.randint(low, high, shape, generator=_SOURCE).to(dtype)


def b(*shape: int) -> Tensor:
    """Bools."""
    return torch.randint(0, 2, shape, generator=_SOURCE).bool()


def v(*numbers: Any, dtype: Any = None) -> Tensor:
    """A vector of these."""
    return torch.tensor(numbers, dtype=dtype)


INF, NAN = math.inf, math.nan
HALF = torch.bfloat16
SPECIAL = v(-INF, -1.5, -0.0, 0.0, 0.5, 2.5, INF, NAN)

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

Call = tuple[Callable[..., Any], tuple[Tensor, ...]]  # a function, and what it is called with


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


def _recurrent(layer: Callable[..., Any], states: int) -> Callable[..., Any]:
    """Both directions of one layer, batch first."""

    def call(x: Tensor, *given: Tensor) -> Any:
        start = list(given[:states]) if states > 1 else given[0]
        return layer(x, start, list(given[states:]), True, 1, 0.0, False, True, True)

    return call


def _weights(size: int, hidden: int, gates: int) -> list[Tensor]:
    """Of both directions: weights of the input and of the state, and their biases."""
    rows = gates * hidden
    return [r(*shape) for shape in [(rows, size), (rows, hidden), (rows,), (rows,)] * 2]


def _encoder_layer(norm_first: bool, gelu: bool) -> Callable[..., Any]:
    """A layer of a transformer with two heads, as torch has it for inference."""

    def call(x: Tensor, *weights: Tensor) -> Any:
        attention, rest = weights[:4], weights[4:]
        options = (gelu, norm_first, 1e-5)
        run = torch.ops.aten._transformer_encoder_layer_fwd
        return run(x, x.shape[-1], 2, *attention, *options, *rest)

    return call


def _encoder_weights(width: int, wide: int) -> list[Tensor]:
    """Of attention, of both norms, and of the layers after it, each with its bias."""
    shapes = [(3 * width, width), (3 * width,), (width, width), (width,), *[(width,)] * 4]
    return [r(*shape) for shape in [*shapes, (wide, width), (wide,), (width, wide), (width,)]]


def _of_convolution(
    stride: list[int], padding: list[int], dilation: list[int], groups: int, back: Any = None
) -> Callable[..., Any]:
    """The three gradients; `back` is the padding of the result of a transposed one."""
    steps = stride, padding, dilation, back is not None, back or [0, 0], groups, [True] * 3
    return lambda dy, x, w: A.convolution_backward(dy, x, w, [dy.shape[1]], *steps)


def _of_max_pool(*window: Any) -> Callable[..., Any]:
    """The gradient of the largest in windows: of two axes, or of three."""
    name = f"max_pool{len(window[0])}d_with_indices"
    forward, backward = getattr(A, name), getattr(A, f"{name}_backward")
    return lambda dy, x: backward(dy, x, *window, forward(x, *window)[1])


def _batch_norm(training: bool) -> Callable[..., Any]:
    """With all that there is for the gradient, and the running statistics."""
    return lambda x, w, c, m, s: A._native_batch_norm_legit_functional(
        x, w, c, m, s, training, 0.1, 1e-5
    )


CALLS: Mapping[str, Sequence[Call]] = {
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
        (lambda x, y: x.type_as(y), (i(3, 3), r(2))),
        (lambda x: x.clone().contiguous().detach(), (r(2, 3),)),
        (lambda x: F.dropout(x, 0.5, training=False), (r(3),)),
    ],
    "activations": [
        (F.relu6, (r(6) * 5,)),
        (F.hardtanh, (r(6) * 2,)),
        (lambda x: F.leaky_relu(x, 0.2), (r(6),)),
        (F.elu, (r(6),)),
        (lambda x: F.elu(x, 0.5), (r(6),)),
        (F.selu, (r(6),)),
        (F.celu, (r(6),)),
        (lambda x: F.celu(x, 0.5), (r(6),)),
        (F.gelu, (r(6),)),
        (lambda x: F.gelu(x, approximate="tanh"), (r(6),)),
        (F.silu, (r(6),)),
        (F.mish, (r(6),)),
        (F.hardswish, (r(6) * 4,)),
        (F.hardsigmoid, (r(6) * 4,)),
        (F.softplus, (r(6) * 9,)),
        (lambda x: F.softplus(x, 2, 5), (r(6) * 9,)),
        (F.logsigmoid, (r(6),)),
        (F.hardshrink, (r(6),)),
        (F.softshrink, (r(6),)),
        (F.softshrink, (SPECIAL,)),
        (F.tanhshrink, (r(6),)),
        (F.softsign, (r(6),)),
        (lambda x: F.threshold(x, 0.1, 20), (r(6),)),
        (F.glu, (r(3, 6),)),
        (F.prelu, (r(2, 3, 4), r(3))),
        (F.prelu, (r(2, 3, 4), r(1))),
        (lambda x: F.rrelu(x), (r(6),)),
    ],
    "sums": [
        (torch.sum, (r(2, 3),)),
        (lambda x: x.sum(1), (r(2, 3),)),
        (lambda x: x.sum((0, 2), keepdim=True), (r(2, 3, 4),)),
        (torch.sum, (i(5, 2, 3, dtype=torch.int32),)),
        (torch.sum, (b(4),)),
        (lambda x: x.sum(1, dtype=torch.float64), (r(2, 3),)),
        (torch.mean, (r(2, 3),)),
        (lambda x: x.mean((1, 2)), (r(2, 3, 4),)),
        (lambda x: x.mean(0, dtype=torch.float32), (i(5, 3, 2),)),
        (torch.prod, (r(2, 3),)),
        (lambda x: x.prod(1), (i(4, 2, 3),)),
        (torch.var, (r(2, 3),)),
        (lambda x: x.var(1, unbiased=False), (r(2, 3),)),
        (lambda x: x.std(1, keepdim=True), (r(2, 3),)),
        (lambda x: torch.var_mean(x, 1), (r(2, 3),)),
        (lambda x: x.cumsum(1), (r(2, 3),)),
        (lambda x: x.cumsum(0), (b(4),)),
        (lambda x: x.cumprod(1), (r(2, 3),)),
        (lambda x: torch.norm(x), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, 1, 1), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, INF, 1), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, 3, 1, keepdim=True), (r(2, 3),)),
        (lambda x: torch.linalg.vector_norm(x, 0, 1), (v(0.0, 1.0, 0.0)[None],)),
        (lambda x: F.normalize(x, dim=1), (r(2, 3),)),
        (lambda x: torch.logsumexp(x, 1), (r(2, 3),)),
        (lambda x: torch.count_nonzero(x, 1), (i(2, 2, 3),)),
        (lambda x: torch.nansum(x), (SPECIAL[-3:] * 0,)),
        (lambda x: torch.trace(x), (r(3, 3),)),
    ],
    "extremes": [
        (torch.max, (r(2, 3),)),
        (torch.min, (i(9, 2, 3),)),
        (torch.max, (r(2, 3), r(3))),
        (torch.min, (r(2, 3), r(3))),
        (lambda x: torch.max(x, 1), (r(2, 3),)),
        (lambda x: torch.min(x, 0, keepdim=True), (r(2, 3),)),
        (lambda x: x.amax((0, 1)), (r(2, 3),)),
        (lambda x: x.amin(1), (r(2, 3),)),
        (lambda x: x.amax(0), (b(3, 4),)),
        (lambda x: torch.aminmax(x, dim=1), (r(2, 3),)),
        (torch.argmax, (r(2, 3),)),
        (lambda x: x.argmax(1), (r(2, 3),)),
        (lambda x: x.argmin(0, keepdim=True), (r(2, 3),)),
        (torch.any, (b(2, 3),)),
        (lambda x: x.any(1), (r(2, 3) > 1,)),
        (lambda x: x.all(0), (i(3, 2, 3),)),
        (torch.all, (i(3, 3, dtype=torch.uint8),)),
    ],
    "softmax": [
        (lambda x: x.softmax(-1), (r(2, 3),)),
        (lambda x: F.softmax(x, 0, dtype=torch.float32), (r(2, 3, dtype=HALF),)),
        (lambda x: F.log_softmax(x, 1), (r(2, 3),)),
        (lambda x: F.softmin(x, 1), (r(2, 3),)),
        (lambda x: x.softmax(0), (v(2.0)[0],)),
        (lambda x: torch.ops.aten._softmax(x, 1, False), (r(2, 3),)),
        (lambda x: torch.ops.aten._log_softmax(x, 1, False), (r(2, 3),)),
        (
            lambda x: torch.ops.aten._safe_softmax(x, 1),
            (torch.stack([r(3), torch.full((3,), -INF)]),),
        ),
    ],
    "products": [
        (torch.mm, (r(2, 3), r(3, 4))),
        (torch.bmm, (r(5, 2, 3), r(5, 3, 4))),
        (torch.mv, (r(2, 3), r(3))),
        (torch.dot, (r(3), r(3))),
        (torch.vdot, (r(3), r(3))),
        (torch.outer, (r(3), r(4))),
        (torch.matmul, (r(2, 1, 3, 4), r(5, 4, 2))),
        (torch.matmul, (r(3), r(2, 3, 4))),
        (F.linear, (r(2, 5, 3), r(4, 3), r(4))),
        (F.linear, (r(5, 3), r(4, 3))),
        (F.linear, (r(5, 3), r(3))),
        (lambda x, y, z: torch.addmm(x, y, z, beta=0.5, alpha=2), (r(4), r(2, 3), r(3, 4))),
        (lambda x, y, z: torch.addmm(x, y, z, beta=0), (v(NAN), r(2, 3), r(3, 4))),
        (torch.baddbmm, (r(5, 2, 4), r(5, 2, 3), r(5, 3, 4))),
        (torch.addmv, (r(2), r(2, 3), r(3))),
        (torch.addr, (r(2, 3), r(2), r(3))),
        (torch.addbmm, (r(2, 4), r(5, 2, 3), r(5, 3, 4))),
        (lambda x, y: torch.einsum("bij,bjk->bik", x, y), (r(5, 2, 3), r(5, 3, 4))),
        (lambda x, y: torch.einsum("bhid,bhjd->bhij", x, y), (r(2, 2, 3, 4), r(2, 2, 5, 4))),
        (lambda x, y: torch.tensordot(x, y, 1), (r(2, 3), r(3, 4))),
        (F.bilinear, (r(2, 3), r(2, 4), r(5, 3, 4), r(5))),
        (lambda x, y: torch.cdist(x, y), (r(2, 3), r(4, 3))),
        (torch.linalg.det, (r(3, 3),)),
        (torch.linalg.inv, (r(3, 3),)),
        (torch.linalg.solve, (r(3, 3), r(3, 2))),
        (lambda a, x: torch.linalg.solve(a, x, left=False), (r(3, 3), r(2, 3))),
        (lambda x: torch.linalg.slogdet(x), (r(3, 3),)),
        (lambda x: torch.linalg.eigh(x)[0], (r(3, 3),)),
        (lambda x: torch.linalg.eigh(x, "U")[1].abs(), (r(3, 3),)),
        (lambda x: torch.linalg.svd(x, full_matrices=False)[1], (r(4, 3),)),
        (lambda x: torch.linalg.svdvals(x), (r(4, 3),)),
        (lambda x: torch.linalg.qr(x)[1].abs(), (r(4, 3),)),
        (lambda a, x: torch.linalg.solve_triangular(a, x, upper=True), (p(3, 3), r(3, 2))),
        (
            lambda a, x: torch.linalg.solve_triangular(
                a, x, upper=False, left=False, unitriangular=True
            ),
            (p(3, 3), r(2, 3)),
        ),
        (lambda x: torch.linalg.cholesky(x @ x.mT + torch.eye(3, dtype=x.dtype)), (r(3, 3),)),
    ],
    "attention": [
        (F.scaled_dot_product_attention, (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 6))),
        (
            lambda q, k, w: F.scaled_dot_product_attention(q, k, w, is_causal=True, scale=0.3),
            (r(2, 3, 4, 8), r(2, 3, 4, 8), r(2, 3, 4, 8)),
        ),
        (
            F.scaled_dot_product_attention,
            (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 8), v(*[[True] * 5, [False] * 5] * 2)),
        ),
        (
            F.scaled_dot_product_attention,
            (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 8), r(2, 1, 4, 5)),
        ),
        (
            lambda q, k, w, m: F.scaled_dot_product_attention(q, k, w, m, enable_gqa=True),
            (r(2, 6, 4, 8), r(2, 2, 5, 8), r(2, 2, 5, 8), b(2, 6, 4, 5)),
        ),
        (
            lambda q, k, w: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, w)[0],
            (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 8)),
        ),
    ],
    "encoder layers": [
        (_encoder_layer(norm_first, gelu), (r(2, 5, 8), *_encoder_weights(8, 12)))
        for norm_first in (True, False)
        for gelu in (True, False)
    ],
    "norms": [
        (lambda x, w, c: F.layer_norm(x, (4,), w, c), (r(2, 3, 4), r(4), r(4))),
        (lambda x: F.layer_norm(x, (3, 4)), (r(2, 3, 4),)),
        (lambda x, w: F.rms_norm(x, (4,), w, 1e-6), (r(2, 4), r(4))),
        (lambda x: F.rms_norm(x, (4,)), (r(2, 4),)),
        (lambda x, w, c: F.group_norm(x, 2, w, c), (r(2, 4, 5), r(4), r(4))),
        (lambda x: F.instance_norm(x), (r(2, 3, 4, 5),)),
        (lambda x, m, s: F.instance_norm(x, m, s, use_input_stats=False), (r(2, 3, 5), r(3), p(3))),
        (lambda x, m, s, w, c: F.batch_norm(x, m, s, w, c), (r(2, 3, 4), r(3), p(3), r(3), r(3))),
        (lambda x, m, s: F.batch_norm(x, m, s), (r(2, 3), r(3), p(3))),
        (lambda x: F.local_response_norm(x, 2), (r(2, 4, 5),)),
        (lambda x, w: torch.ops.aten.native_layer_norm(x, [4], w, None, 1e-5), (r(2, 4), r(4))),
        (lambda x, w: A.native_group_norm(x, w, None, 2, 4, 5, 2, 1e-5), (r(2, 4, 5), r(4))),
        (_batch_norm(True), (r(2, 3, 4), r(3), r(3), r(3), p(3))),
        (_batch_norm(False), (r(2, 3, 4), r(3), r(3), r(3), p(3))),
        # Of halves torch's kernels and its tracing give statistics of different types.
        (
            lambda x, w, c, m, s: _batch_norm(True)(x, w, c, m, s)[0],
            (r(2, 3, 4, dtype=HALF), r(3), r(3), r(3), p(3)),
        ),
        (
            lambda x, w: A.native_layer_norm(x, [4], w, None, 1e-5)[0],
            (r(2, 4, dtype=HALF), r(4, dtype=HALF)),
        ),
        (
            lambda x, w: A.native_group_norm(x, w, None, 2, 4, 5, 2, 1e-5)[0],
            (r(2, 4, 5, dtype=HALF), r(4)),
        ),
        (lambda x, w: torch.ops.aten._fused_rms_norm(x, [4], w, 1e-5)[0], (r(2, 4), r(4))),
    ],
    "convolutions": [
        (lambda x, w, c: F.conv1d(x, w, c, stride=2, padding=1), (r(2, 3, 9), r(4, 3, 3), r(4))),
        (lambda x, w: F.conv2d(x, w, padding=1, dilation=2), (r(2, 4, 9, 8), r(6, 4, 3, 3))),
        (lambda x, w: F.conv2d(x, w, groups=2), (r(2, 4, 7, 7), r(6, 2, 3, 2))),
        (lambda x, w: F.conv2d(x, w, padding="same"), (r(1, 2, 5, 6), r(3, 2, 3, 4))),
        (lambda x, w: F.conv2d(x, w), (r(2, 5, 6), r(3, 2, 3, 3))),
        (F.conv3d, (r(1, 2, 4, 5, 6), r(3, 2, 2, 3, 3), r(3))),
        (lambda x, w, c: F.conv_transpose1d(x, w, c, stride=2), (r(2, 3, 5), r(3, 4, 3), r(4))),
        (
            lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1, groups=2),
            (r(2, 4, 5, 5), r(4, 3, 3, 3)),
        ),
        (lambda x, w: F.conv_transpose3d(x, w), (r(1, 2, 3, 3, 3), r(2, 2, 2, 2, 2))),
    ],
    "pools": [
        (lambda x: F.max_pool1d(x, 3, 2, 1), (r(2, 3, 9),)),
        (lambda x: F.max_pool2d(x, 3, 2, 1), (r(2, 3, 9, 8),)),
        (lambda x: F.max_pool2d(x, (2, 3), ceil_mode=True), (r(2, 9, 8),)),
        (lambda x: F.max_pool2d(x, 2, dilation=2), (r(1, 2, 9, 8),)),
        (lambda x: F.max_pool3d(x, 2), (r(1, 2, 4, 4, 5),)),
        (lambda x: torch.ops.aten.max_pool2d_with_indices(x, [2, 2])[0], (r(1, 2, 4, 5),)),
        (lambda x: torch.ops.aten.max_pool3d_with_indices(x, [2])[0], (r(1, 2, 4, 4, 5),)),
        (lambda x: F.avg_pool1d(x, 3, 2, 1), (r(2, 3, 9),)),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (r(2, 3, 8, 8),)),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), (r(3, 9, 8),)),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), (r(2, 3, 4, 4),)),
        (lambda x: F.avg_pool3d(x, 2), (r(1, 2, 4, 4, 5),)),
        (lambda x: F.adaptive_avg_pool1d(x, 3), (r(2, 3, 7),)),
        (lambda x: F.adaptive_avg_pool2d(x, 1), (r(2, 3, 5, 4),)),
        (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), (r(2, 3, 4, 6),)),
        (lambda x: F.adaptive_avg_pool2d(x, (3, None)), (r(3, 7, 5),)),
        (lambda x: F.adaptive_avg_pool3d(x, (2, 2, 1)), (r(1, 2, 4, 5, 3),)),
        (lambda x: torch.ops.aten._adaptive_avg_pool2d(x, [2, 2]), (r(1, 2, 5, 4),)),
        (lambda x: torch.ops.aten._adaptive_avg_pool3d(x, [1, 2, 2]), (r(1, 2, 3, 5, 4),)),
        (lambda x: F.adaptive_max_pool1d(x, 3), (r(2, 3, 7),)),
        (lambda x: F.adaptive_max_pool2d(x, (1, 3)), (r(2, 3, 5, 7),)),
        (lambda x: F.adaptive_max_pool3d(x, 2), (r(1, 2, 4, 5, 3),)),
        (lambda x: F.unfold(x, (2, 3), dilation=2, padding=1, stride=2), (r(2, 3, 7, 8),)),
        (lambda x: F.fold(x, (4, 5), (2, 2)), (r(2, 12, 12),)),
        (lambda x: x.unfold(1, 3, 2), (r(2, 9, 3),)),
    ],
    "pools with indices": [
        (lambda x: A.max_pool2d_with_indices(x, [3, 2], [2], [1], [1, 2], True), (r(2, 3, 8, 7),)),
        (lambda x: A.max_pool2d_with_indices(x, [2, 2]), (r(2, 4, 5),)),
        (lambda x: A.max_pool3d_with_indices(x, [2]), (r(1, 2, 4, 4, 5),)),
    ],
    "gradients of windows": [
        (_of_convolution([2, 1], [1, 0], [1, 2], 2), (r(2, 4, 4, 3), r(2, 6, 7, 7), r(4, 3, 3, 3))),
        (
            _of_convolution([2, 2], [1, 1], [1, 1], 1, back=[1, 1]),
            (r(2, 4, 8, 6), r(2, 3, 4, 3), r(3, 4, 3, 3)),
        ),
        (
            lambda dy, x, w: A.convolution_backward(
                dy, x, w, [3], [1], [0], [1], False, [0], 1, [False, True, False]
            )[1],
            (r(2, 3, 5), r(2, 2, 7), r(3, 2, 3)),
        ),
        (_of_max_pool([3, 2], [2, 2], [1, 1], [1, 2], True), (r(2, 3, 5, 4), r(2, 3, 8, 7))),
        (_of_max_pool([2, 2], [], [0, 0], [1, 1], False), (r(3, 2, 3), r(3, 4, 7))),
        (_of_max_pool([2, 3, 2], [1, 2, 2], [0, 1, 0], [1] * 3, False),
         (r(1, 2, 3, 2, 2), r(1, 2, 4, 4, 5))),
        (
            lambda dy, x: A.avg_pool2d_backward(dy, x, [3, 3], [2, 2], [1, 1], True, False, None),
            (r(2, 3, 5, 4), r(2, 3, 8, 7)),
        ),
        (
            lambda dy, x: A.avg_pool2d_backward(dy, x, [2, 2], [], [0, 0], False, True, 3),
            (r(3, 2, 3), r(3, 4, 7)),
        ),
        (
            lambda dy, x: A.avg_pool3d_backward(dy, x, [2], [2], [0], False, True, None),
            (r(1, 2, 2, 2, 2), r(1, 2, 4, 4, 5)),
        ),
        (A._adaptive_avg_pool2d_backward, (r(2, 3, 2, 3), r(2, 3, 5, 6))),
        (A._adaptive_avg_pool2d_backward, (r(2, 3, 1, 1), r(2, 3, 5, 6))),
        (A._adaptive_avg_pool3d_backward, (r(1, 2, 2, 2, 1), r(1, 2, 4, 5, 3))),
    ],
    "images": [
        (lambda x: F.interpolate(x, scale_factor=2), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, (5, 7)), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, 7, mode="linear"), (r(1, 2, 4),)),
        (lambda x: F.interpolate(x, (5, 7), mode="nearest-exact"), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), (r(1, 2, 5, 7),)),
        (lambda x: F.interpolate(x, (6, 5), mode="bilinear", align_corners=True), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, (6, 5), mode="bicubic"), (r(1, 2, 3, 4),)),
        (lambda x: F.interpolate(x, (3, 4, 5), mode="trilinear"), (r(1, 2, 2, 3, 4),)),
        (lambda x: F.interpolate(x, 5), (r(1, 2, 3),)),
        (lambda x: F.interpolate(x, (2, 4, 3)), (r(1, 2, 1, 2, 2),)),
        (lambda x: F.interpolate(x, 5, mode="nearest-exact"), (r(1, 2, 3),)),
        (lambda x: F.interpolate(x, (2, 4, 3), mode="nearest-exact"), (r(1, 2, 1, 2, 2),)),
        (lambda x, g: F.grid_sample(x, g, align_corners=False), (r(1, 2, 4, 5), r(1, 3, 3, 2) / 2)),
        (
            lambda x, g: F.grid_sample(x, g, "nearest", "border", True),
            (r(1, 2, 4, 5), r(1, 3, 3, 2) / 2),
        ),
        (
            lambda x, g: F.grid_sample(x, g, align_corners=False),
            (r(1, 2, 3, 4, 5), r(1, 2, 2, 2, 3) / 2),
        ),
        (lambda x: F.pixel_shuffle(x, 2), (r(1, 8, 2, 3),)),
        (lambda x: F.pixel_unshuffle(x, 2), (r(1, 2, 4, 6),)),
        (lambda x: F.channel_shuffle(x, 2), (r(1, 4, 2, 3),)),
    ],
    "shapes": [
        (lambda x: x.view(3, -1), (r(2, 3, 4),)),
        (lambda x: x.reshape(4, 6), (r(2, 3, 4),)),
        (lambda x: x.flatten(1), (r(2, 3, 4),)),
        (lambda x: x.unflatten(1, (1, 3)), (r(2, 3),)),
        (lambda x: x.permute(2, 0, -2), (r(2, 3, 4),)),
        (lambda x: x.transpose(0, -1), (r(2, 3, 4),)),
        (lambda x: x.t(), (r(2, 3),)),
        (lambda x: x.mT, (r(2, 3, 4),)),
        (lambda x: x.movedim(0, -1), (r(2, 3, 4),)),
        (lambda x: x.unsqueeze(-1).squeeze(0), (r(1, 3),)),
        (lambda x: x.squeeze(), (r(1, 3, 1),)),
        (lambda x: x.squeeze((0, 2)), (r(1, 3, 1),)),
        (lambda x: x.expand(4, -1, 3), (r(2, 1),)),
        (lambda x, y: x.expand_as(y), (r(3), r(2, 3))),
        (lambda x: x.repeat(2, 1, 3), (r(2, 3),)),
        (lambda x: x.tile(2), (r(2, 3),)),
        (lambda x: x.repeat_interleave(2, 1), (r(2, 3),)),
        (lambda x: x.repeat_interleave(2), (r(2, 3),)),
        (lambda x: x.flip(0, -1), (r(2, 3, 4),)),
        (lambda x: x.roll((1, -1), (0, 1)), (r(2, 3),)),
        (lambda x: x.roll(2), (r(2, 3),)),
        (lambda x: torch.rot90(x), (r(2, 3),)),
        (lambda x: torch.diagonal(x, 1, -1, 0), (r(3, 2, 4),)),
        (lambda x: torch.diag_embed(x), (r(2, 3),)),
        (lambda x: torch.block_diag(x, x), (r(2, 3),)),
        (lambda x: torch.as_strided(x, (2, 2), (1, 3), 1), (r(3, 3),)),
        (lambda x: torch.ops.aten._unsafe_view(x, [6]), (r(2, 3),)),
        (lambda x: torch.ops.aten._reshape_alias(x, [6], [1]), (r(2, 3),)),
        (lambda x: torch.ops.aten.alias(x), (r(2, 3),)),
    ],
    "parts": [
        (lambda x: x[1:, ::2], (r(3, 5),)),
        (lambda x: x[-2:, :-1], (r(3, 5),)),
        (lambda x: x[5:], (r(3, 5),)),
        (lambda x: x[1], (r(3, 5),)),
        (lambda x: x[..., -1], (r(3, 5),)),
        (lambda x: x.split(2, 1), (r(3, 5),)),
        (lambda x: x.split([1, 4], 1), (r(3, 5),)),
        (lambda x: x.chunk(3, 1), (r(3, 5),)),
        (lambda x: x.unbind(0), (r(3, 5),)),
        (lambda x: torch.tensor_split(x, 2, 1), (r(3, 5),)),
        (lambda x: x.narrow(1, 1, 3), (r(3, 5),)),
        (lambda x, y: torch.cat([x, y], 1), (r(2, 3), r(2, 1))),
        (lambda x, y: torch.cat([x, y]), (i(3, 2), r(2))),
        (lambda x, y: torch.cat([x, y]), (r(0), r(2, 3))),
        (lambda x, y: torch.stack([x, y], -1), (r(2, 3), r(2, 3))),
        (lambda x, y: torch.hstack([x, y]), (r(2, 3), r(2, 1))),
        (lambda x: torch.meshgrid(x, x, indexing="ij"), (r(3),)),
        (lambda x: F.pad(x, (1, 2)), (r(2, 3),)),
        (lambda x: F.pad(x, (1, -1, -1, 2), value=0.5), (r(3, 3),)),
        (lambda x: F.pad(x, (1, 2), value=7), (i(4, 3),)),
        (lambda x: F.pad(x, (1, 2), mode="reflect"), (r(2, 3, 4),)),
        (lambda x: F.pad(x, (1, 2, 0, 1), mode="replicate"), (r(1, 2, 3, 4),)),
        (lambda x: F.pad(x, (1, 2), mode="circular"), (r(2, 3, 4),)),
        (lambda x: torch.ops.aten.reflection_pad1d(x, [1, 2]), (r(2, 4),)),
        (lambda x: torch.ops.aten.reflection_pad2d(x, [1, 2, 0, 1]), (r(2, 3, 4),)),
        (lambda x: torch.ops.aten.reflection_pad3d(x, [1, 0, 0, 1, 1, 1]), (r(2, 3, 4, 2),)),
        (lambda x: torch.ops.aten.replication_pad1d(x, [1, 2]), (r(2, 4),)),
        (lambda x: torch.ops.aten.replication_pad2d(x, [1, 2, 0, 1]), (r(2, 3, 4),)),
        (lambda x: torch.ops.aten.replication_pad3d(x, [1, 0, 0, 1, 1, 1]), (r(2, 3, 4, 2),)),
        (lambda x: torch.tril(x), (r(3, 4),)),
        (lambda x: torch.triu(x, 1), (r(2, 3, 4),)),
        (lambda x, y: torch.slice_scatter(x, y, 1, 1, 3), (r(2, 5), r(2, 2))),
        (lambda x, y: torch.slice_scatter(x, y, 1, 0, 5, 2), (r(2, 5), r(2, 3))),
        (lambda x, y: torch.select_scatter(x, y, 1, 2), (r(2, 5), r(2))),
    ],
    "indices": [
        (lambda t, x: F.embedding(x, t), (r(5, 3), i(5, 2, 4))),
        (lambda x, n: x.index_select(1, n), (r(2, 5), i(5, 3))),
        (lambda x, n: x.gather(1, n), (r(3, 5), i(5, 2, 4))),
        (lambda x, n: torch.take_along_dim(x, n, 1), (r(2, 5), i(5, 2, 2))),
        (lambda x, n: x[n], (r(5, 3), i(5, 2, 4, low=-5))),
        (lambda x, n: x[:, n], (r(2, 5, 3), i(5, 4))),
        (lambda x, n: x[n], (r(5, 3), v(2)[0])),
        (lambda x, n: x * n.item(), (r(5, 3), v(2)[0])),
        (lambda x, n, k: x[n, k], (r(5, 3, 2), i(5, 4), i(3, 4))),
        (lambda x, n, k: x[:, n, k], (r(2, 5, 3), i(5, 4), i(3, 1))),
        (lambda x, n, k: x[n, :, k], (r(5, 2, 3), i(5, 4), i(3, 4))),
        (lambda x, n: torch.ops.aten._unsafe_index(x, [n]), (r(5, 3), i(5, 4))),
        (lambda x, n, y: x.index_put((n,), y), (r(5, 3), v(0, 3), r(2, 3))),
        (lambda x, n, y: x.index_put((n,), y, accumulate=True), (r(5, 3), v(0, 3, 3), r(3))),
        (lambda x, n, k, y: x.index_put((n, k), y), (r(5, 3), v(0, 3), v(1, 2), r(2))),
        (lambda x, n, y: torch.ops.aten.index_put(x, [None, n], y), (r(2, 5), v(0, 3), r(2, 2))),
        (
            lambda x, n, k, y: torch.ops.aten.index_put(x, [n, None, k], y),
            (r(5, 2, 3), v(0, 3), v(1, 2), r(2, 2)),
        ),
        (lambda x, m, y: x.index_put((m,), y), (r(4, 3), b(4), v(2.5)[0])),
        (lambda x, n, y: torch.ops.aten._unsafe_index_put(x, [n], y), (r(5, 3), v(0, 3), r(2, 3))),
        (lambda x, n, y: x.index_add(0, n, y), (r(5, 3), v(0, 3, 3), r(3, 3))),
        (lambda x, n, y: x.index_copy(0, n, y), (r(5, 3), v(0, 3), r(2, 3))),
        (lambda x, n: x.index_fill(0, n, 0.5), (r(5, 3), v(0, 3))),
        (lambda x, n, y: x.scatter(1, n, y), (r(2, 5), v(0, 3)[None], r(2, 3))),
        (lambda x, n: x.scatter(1, n, 2.5), (r(2, 5), v(0, 3)[None])),
        (lambda x, n, y: x.scatter(1, n, y, reduce="add"), (r(2, 5), v(0, 3, 3)[None], r(2, 3))),
        (lambda x, n, y: x.scatter_add(1, n, y), (r(2, 5), v(0, 3, 3)[None], r(2, 3))),
        (lambda x, n, y: x.scatter_reduce(1, n, y, "amax"), (r(2, 5), v(0, 3, 3)[None], r(2, 3))),
        (lambda x: F.one_hot(x, 5).float(), (i(5, 2, 3),)),
        (lambda x, y: torch.isin(x, y), (i(5, 6), i(5, 2))),
        (lambda x, y: torch.bucketize(x, y), (r(4), v(-1.0, 0.0, 0.5))),
        (lambda x, y: torch.searchsorted(y, x), (r(4), v(-1.0, 0.0, 0.5))),
    ],
    "orders": [
        (lambda x: torch.sort(x), (r(3, 5),)),
        (lambda x: torch.sort(x, 0, descending=True), (r(3, 5),)),
        (lambda x: torch.sort(x, stable=True, dim=1), (i(4, 3, 5),)),
        (lambda x: torch.argsort(x, 1), (r(3, 5),)),
        (lambda x: torch.topk(x, 2), (r(3, 5),)),
        (lambda x: torch.topk(x, 2, 0, largest=False), (r(3, 5),)),
        (lambda x: torch.median(x), (r(5),)),
        (lambda x: torch.median(x, 1), (r(2, 5),)),
        (lambda x: torch.kthvalue(x, 2, 1), (r(2, 5),)),
    ],
    "numbers": [
        (lambda x: x + torch.arange(3), (r(3),)),
        (lambda x: x + torch.arange(1, 7, 2), (r(3),)),
        (lambda x: x + torch.arange(0.5, 2, 0.5), (r(3),)),
        (lambda x: x + torch.linspace(0, 1, 3), (r(3),)),
        (lambda x: x + torch.zeros(3) + torch.ones(3) + torch.full((3,), 2.5), (r(3),)),
        (lambda x: torch.zeros_like(x) + torch.ones_like(x) + torch.full_like(x, 2), (r(3),)),
        (lambda x: x.new_zeros(3) + x.new_ones(3) + x.new_full((3,), 2), (r(3),)),
        (lambda x: x + torch.eye(3) + torch.eye(2, 3)[0], (r(3, 3),)),
        (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), (r(3),)),
        (lambda x: x + torch.tensor(2), (r(3),)),
        (lambda x: x + torch.scalar_tensor(2.5), (r(3),)),
        (lambda x: torch.empty_like(x).fill_(3), (r(3),)),
        (lambda x: x + torch.empty(3).zero_(), (r(3),)),
    ],
    "recurrent layers": [
        (_recurrent(torch.lstm, 2), (r(2, 5, 3), r(2, 2, 4), r(2, 2, 4), *_weights(3, 4, 4))),
        (_recurrent(torch.gru, 1), (r(2, 5, 3), r(2, 2, 4), *_weights(3, 4, 3))),
        (_recurrent(torch.rnn_tanh, 1), (r(2, 5, 3), r(2, 2, 4), *_weights(3, 4, 1))),
        (_recurrent(torch.rnn_relu, 1), (r(2, 5, 3), r(2, 2, 4), *_weights(3, 4, 1))),
    ],
    "losses": [
        (F.mse_loss, (r(3), r(3))),
        (F.l1_loss, (r(3), r(3))),
        (F.smooth_l1_loss, (r(3), r(3))),
        (F.huber_loss, (r(3), r(3))),
        (F.cross_entropy, (r(3, 5), i(5, 3))),
        (F.nll_loss, (r(3, 5), i(5, 3))),
        (F.binary_cross_entropy_with_logits, (r(3), p(3))),
        (lambda x, y: F.kl_div(x, y, reduction="sum"), (r(3), p(3))),
        (lambda x, y: F.cosine_similarity(x, y), (r(2, 3), r(2, 3))),
    ],
}
