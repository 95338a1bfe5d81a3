"""Steps that sum: reductions, norms, products, attention, linear loops."""

from __future__ import annotations

from typing import Any, cast

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.types import bool_, i8, i32, u8

from .maker import Made, Maker, Step


def reduced(m: Maker) -> Made:
    x = m.pick("f" if m.chance(0.8) else "iu", filled=True)
    axes, keepdims = m.axes(x), m.chance(0.5)
    if x.dtype.kind != "f":
        return m.random.choice((ml.sum, ml.max, ml.min))(x, axes, keepdims=keepdims)
    names = ("sum", "mean", "max", "min", "var", "std", "logsumexp", "norm_l1", "norm_l2")
    name = m.random.choice(names)
    if name in ("std", "norm_l2"):  # the root is steep at zero
        name = "mean" if m.special else name
        x = x if m.special else x + m.fresh(x.type.static_shape, x.dtype)
        if name == "std":
            name = "var"
    made: Value = getattr(ml, name)(x, axes, keepdims=keepdims)
    return made


def sum_of_nothing(m: Maker) -> Made:
    shape = list(m.shape(1, 3))
    shape[m.random.randrange(len(shape))] = 0
    x = m.fresh(shape, m.float_type())
    return m.random.choice((ml.sum, ml.prod, ml.norm_l1))(x, m.axes(x), keepdims=m.chance(0.5))


def product_of_all(m: Maker) -> Made:
    x = m.pick(filled=True, low=1)
    return ml.prod(ml.clip(x, 0.5, 1.5), m.axis(x), keepdims=m.chance(0.5))


def decided(m: Maker) -> Made:
    x = m.pick("b", 1)
    return m.random.choice((ml.all, ml.any))(x, m.axes(x), keepdims=m.chance(0.5))


def extreme(m: Maker) -> Made:
    x = m.pick("fiu", 1, exact=True, filled=True)
    axis = None if m.chance(0.2) else m.axis(x)
    which = m.random.choice((ml.argmax, ml.argmin))
    keepdims = axis is not None and m.chance(0.5)
    return which(x, axis, keepdims=keepdims, select_last_index=m.chance(0.3))


def running(m: Maker) -> Made:
    x = m.pick("f" if m.chance(0.8) else "i", 1)
    kind, axis = {"exclusive": m.chance(0.3), "reverse": m.chance(0.3)}, m.axis(x)
    if x.dtype.is_float and m.chance(0.3):
        return ml.cumprod(ml.clip(x, -1.25, 1.25), axis, **kind)
    return ml.cumsum(x, axis, **kind)


def rows(m: Maker) -> Made:
    x = m.pick("f", 1)
    return m.random.choice((ml.softmax, ml.log_softmax))(x, m.axis(x))


def masked_rows(m: Maker) -> Made:
    x = m.pick("f", 1, filled=True)
    mask = m.fresh(x.type.static_shape, bool_)
    return ml.softmax(ml.where(mask, x, m.random.choice((-1e9, float("-inf"), -30.0))), m.axis(x))


def norm(m: Maker) -> Made:
    x = m.pick("f", 2, filled=True)
    shape = x.type.static_shape
    # A row that varies: that of one element gives zeros, which nothing tells from noise.
    x = x + m.fresh(shape, x.dtype)
    axis = m.axis(x)
    kind = m.random.randrange(5)
    tail = shape[axis % x.rank :]
    scale = m.fresh(tail, x.dtype) if m.chance(0.6) else None
    epsilon = m.random.choice((1e-5, 1e-3, 0.1))
    if kind == 0:
        return ml.layer_norm(x, scale, axis=axis, epsilon=epsilon)
    if kind == 1:
        bias = None if scale is None else m.fresh(tail, x.dtype)
        return ml.layer_norm(x, scale, bias, axis=axis, epsilon=epsilon)
    if kind == 2:
        return ml.rms_norm(x, scale, axis=axis, epsilon=epsilon)
    channels = shape[1]
    one, two, three = (m.fresh((channels,), x.dtype, constant=0.7) for _ in range(3))
    if kind == 3:
        variance = m.fresh((channels,), x.dtype, low=0.25, high=2, constant=0.7)
        return ml.batch_norm(x, one, two, three, ml.absolute(variance) + 0.25, epsilon=epsilon)
    if x.rank < 3:
        return None
    groups = m.random.choice([by for by in range(1, channels + 1) if channels % by == 0])
    return ml.group_norm(x, groups, *m.random.choice(((), (one, two))), epsilon=0.1)


def trained_norm(m: Maker) -> Made:
    x = m.pick("f", 2, 4, filled=True)
    x = x + m.fresh(x.type.static_shape, x.dtype)
    scale, bias = (m.fresh((x.type.static_shape[1],), x.dtype) for _ in range(2))
    return ml.batch_norm_training(x, scale, bias, epsilon=0.1)


def neighbours(m: Maker) -> Made:
    x = m.pick("f", 3, 4, filled=True)
    return ml.local_response_norm(x, m.random.choice((1, 2, 3, 5)), alpha=0.1)


def matmul(m: Maker) -> Made:
    """Of what there is, by what fits; batched, of vectors, repeated over batches."""
    x = m.pick("f", 1)
    inner = x.type.static_shape[-1]
    columns = m.size()
    batch = x.type.static_shape[:-2]
    outer = m.random.choice(((), batch, batch[-1:], tuple(1 for _ in batch)))
    shape = (inner,) if m.chance(0.1) else (*outer, inner, columns)
    fitting = [value for value in m.values if value.shape == shape and value.dtype == x.dtype]
    y = m.random.choice(fitting) if fitting and m.chance(0.5) else m.fresh(shape, x.dtype)
    scale = 1.0 if inner < 4 else 0.25
    return x @ y * scale if m.chance(0.7) else x @ y


def transposed_product(m: Maker) -> Made:
    x = m.pick("f", 2, 4)
    rows_, inner = x.type.static_shape[-2:]
    y = m.fresh((m.size(), rows_ if m.chance(0.5) else inner), x.dtype)
    if y.type.static_shape[-1] == inner:
        return x @ y.T
    return y @ x


def quantised(m: Maker) -> Made:
    rows_, inner, columns = m.size(), m.size(), m.size()
    x = m.fresh((rows_, inner), u8, low=0, high=255)
    y = m.fresh((inner, columns), i8, low=-128, high=127, constant=0.8)
    return x @ y


def integer_product(m: Maker) -> Made:
    shape = m.size(17), m.size(17)
    return m.fresh(shape, i32) @ m.fresh((shape[1], m.size(17)), i32)


def attention(m: Maker) -> Made:
    heads = m.shape(1, 2, 0)[:2]
    heads = tuple(min(size, 4) for size in heads)
    seen, asked, width, out = m.size(), m.size(), m.size(33), m.size(33)
    dtype = m.float_type()
    q = m.fresh((*heads, asked, width), dtype, low=-1, high=1, constant=0.1)
    k = m.fresh((*heads, seen, width), dtype, low=-1, high=1, constant=0.1)
    v = m.fresh((*heads, seen, out), dtype, constant=0.1)
    same = [value for value in m.values if value.type == q.type]
    q = ml.tanh(m.random.choice(same)) if same else q
    mask = None
    if m.chance(0.4):
        kind = m.random.choice((bool_, dtype))
        mask = m.fresh((asked, seen), kind)
        if kind == bool_:  # a row without any key has no meaning
            mask = mask | ml.equal(ml.arange(seen), 0)
    scale = m.random.choice((None, 0.5))
    return ml.attention(q, k, v, mask, scale=scale, causal=m.chance(0.3) and asked <= seen)


def loss(m: Maker) -> Made:
    x = m.pick("f", 1, filled=True)
    y = m.fresh(x.type.static_shape, x.dtype)
    reduction = cast(Any, m.random.choice(("mean", "sum", "none")))
    kind = m.random.randrange(4)
    if kind == 0:
        return ml.mse_loss(x, y, reduction=reduction)
    if kind == 1:
        return ml.huber_loss(x, y, reduction=reduction)
    if kind == 2:
        return ml.binary_cross_entropy_with_logits(x, ml.sigmoid(y), reduction=reduction)
    labels = ml.clip(ml.cast(m.fresh(x.type.static_shape[:1], i32, low=0, high=9), ml.i64), 0, 0)
    if x.rank != 2:
        return None
    return ml.cross_entropy(x, labels, reduction=reduction, label_smoothing=0.1)


STEPS: tuple[Step, ...] = (
    *(reduced, reduced, reduced, sum_of_nothing, product_of_all, decided, extreme, running),
    *(rows, rows, masked_rows, norm, norm, trained_norm, neighbours, matmul, matmul, matmul),
    *(transposed_product, quantised, integer_product, attention, attention, loss),
)
