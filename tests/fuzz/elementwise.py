"""Steps that compute each element by itself."""

from __future__ import annotations

from collections.abc import Callable

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.types import bf16, bool_, f16, f32, f64, i8, i32, i64, u8

from .maker import Made, Maker, Step

Unary = Callable[[Value], Value]

TAME: tuple[Unary, ...] = (
    *(ml.relu, ml.tanh, ml.sigmoid, ml.gelu, ml.silu, ml.erf, ml.sin, ml.cos, ml.arctan),
    *(ml.softplus, ml.softsign, ml.hard_swish, ml.mish, ml.relu6, ml.elu, ml.celu, ml.selu),
    *(ml.absolute, ml.negative, ml.square, ml.arcsinh, ml.quick_gelu, ml.hard_sigmoid),
    *(ml.leaky_relu, ml.hardtanh, ml.shrink, ml.thresholded_relu),
    lambda x: ml.gelu(x, "tanh"),
    lambda x: ml.leaky_relu(x, 0.2),
    lambda x: ml.celu(x, 0.5),
)
# The limits keep their results small.
LIMITED: tuple[Unary, ...] = (
    *(ml.exp, ml.exp2, ml.expm1, ml.sinh, ml.cosh, ml.tan),
    lambda x: ml.arctanh(x * 0.25),
    lambda x: ml.arcsin(x * 0.25),
    lambda x: ml.arccos(x * 0.25),
)
POSITIVE: tuple[Unary, ...] = (
    *(ml.log, ml.log2, ml.log10, ml.log1p, ml.sqrt, ml.rsqrt, ml.reciprocal),
    lambda x: ml.arccosh(x + 1.0),
)
# Not continuous: of exact operands only.
JUMPING: tuple[Unary, ...] = (
    *(ml.floor, ml.ceil, ml.round, ml.trunc, ml.sign, ml.isnan, ml.isfinite, ml.isinf),
)
ANY_NUMBER: tuple[Unary, ...] = (ml.absolute, ml.negative, ml.sign, ml.square, ml.relu)


def tame(m: Maker) -> Made:
    x = m.pick()
    if m.special:  # what is near multiples of pi is lost for large ones
        x = ml.where(ml.greater(ml.absolute(x), 1e5), 0.5, x)
    return m.random.choice(TAME)(x)


def limited(m: Maker) -> Made:
    x = m.pick()
    return m.random.choice(LIMITED)(x if m.special else ml.clip(x, -1.5, 1.5))


def positive(m: Maker) -> Made:
    x = m.pick()
    return m.random.choice(POSITIVE)(x if m.special else m.positive(x))


def jumping(m: Maker) -> Made:
    return m.random.choice(JUMPING)(m.pick(exact=True))


def integers(m: Maker) -> Made:
    return m.random.choice(ANY_NUMBER)(m.pick("iu"))


def arithmetic(m: Maker) -> Made:
    x = m.pick("f" if m.chance(0.8) else "iu")
    y = m.same(x)
    both = (ml.add, ml.subtract, ml.multiply, ml.maximum, ml.minimum)
    x, y = (x, y) if m.chance(0.5) else (y, x)
    return m.random.choice(both)(x, y)


def with_number(m: Maker) -> Made:
    x = m.pick("f")
    number = m.random.choice((0.0, 1.0, -1.0, 2.0, 0.5, 3.0, -0.25, 1))
    makers: tuple[Callable[[], Value], ...] = (
        *(lambda: x + number, lambda: number - x, lambda: x * number, lambda: x - number),
        *(lambda: ml.maximum(x, number), lambda: ml.minimum(number, x)),
        *(lambda: x / (number or 4.0), lambda: ml.clip(x, -abs(number), 1.5)),
        *(lambda: ml.clip(x, number), lambda: ml.clip(x, maximum=number)),
        lambda: x ** m.random.choice((2, 3, 2.0, 1, 0)),
    )
    return m.random.choice(makers)()


def quotient(m: Maker) -> Made:
    x = m.pick()
    y = m.same(x)
    if m.special:
        return m.random.choice((ml.divide, ml.arctan2, ml.power))(x, y)
    return m.random.choice((ml.divide, ml.arctan2))(x, m.positive(y))


def power(m: Maker) -> Made:
    x = m.pick()
    return ml.power(m.positive(ml.clip(x, -2.0, 2.0)), ml.clip(m.same(x), -2.0, 2.0))


def whole_quotient(m: Maker) -> Made:
    x = m.pick("iuf", exact=True)
    y = m.same(x, exact=True)
    names = ["floor_divide", "mod"]
    names += [] if x.dtype.is_float else ["truncated_divide", "truncated_mod"]
    function = getattr(ml, m.random.choice(names))
    if x.dtype.is_float and not m.special:
        if x.dtype.bits == 16:  # in f32 where it is compiled, rounded once
            return None
        y = ml.where(ml.equal(y, 0.0), ml.full_like(y, 0.75), y)
    made: Value = function(x, y)
    return made


def bits(m: Maker) -> Made:
    x = m.pick("iub")
    if m.chance(0.3) and x.dtype.is_integer:
        amount = ml.clip(m.same(x), 0, x.dtype.bits - 1)
        return m.random.choice((ml.left_shift, ml.right_shift))(x, amount)
    if m.chance(0.2):
        return ml.bitwise_not(x)
    both = (ml.bitwise_and, ml.bitwise_or, ml.bitwise_xor)
    return m.random.choice(both)(x, m.same(x))


def logic(m: Maker) -> Made:
    x = m.pick("b")
    if m.chance(0.2):
        return ml.logical_not(x)
    both = (ml.logical_and, ml.logical_or, ml.logical_xor)
    return m.random.choice(both)(x, m.same(x))


def comparison(m: Maker) -> Made:
    x = m.pick("fiu", exact=True)
    y = m.same(x, exact=True)
    both = (ml.less, ml.less_equal, ml.greater, ml.greater_equal, ml.equal, ml.not_equal)
    return m.random.choice(both)(x, y)


def choice(m: Maker) -> Made:
    x = m.pick("fiu")
    conditions = [
        value for value in m.values if value.dtype == bool_ and value.shape == x.shape
    ]
    condition = m.random.choice(conditions) if conditions else m.fresh(x.type.static_shape, bool_)
    return ml.where(condition, x, m.same(x)) if m.chance(0.7) else ml.where(condition, x, 0)


def cast(m: Maker) -> Made:
    if m.chance(0.5):
        return m.pick("fiub", exact=True).astype(m.random.choice((i64, i32, i8, u8, bool_, f32)))
    x = m.pick("fiub")
    return x.astype(m.random.choice((f32, f32, f64, f16, bf16)))


STEPS: tuple[Step, ...] = (
    *(tame, tame, tame, limited, positive, jumping, integers, arithmetic, arithmetic, arithmetic),
    *(with_number, with_number, quotient, power, whole_quotient, bits, logic, comparison),
    *(choice, choice, cast),
)
