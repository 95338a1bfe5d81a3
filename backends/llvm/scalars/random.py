"""Random bits as inline vector code: Philox-4x32-10, a place of its sequence in each lane.

Words of 32 bits stand in lanes of 64, where their products need no second half; machines have one
instruction for products of such lanes.
"""

from __future__ import annotations

from ....expr.philox import FACTORS, KEY_STEPS, ROUNDS, WORD
from ..text.scopes import Value
from .primitives import Primitives


def philox(ops: Primitives, seed: Value, stream: Value, place: Value) -> Value:
    """The 64 random bits at a place of a stream, as `expr.philox` says."""
    k0, k1 = _words(ops, seed)
    c0, c1 = _words(ops, ops.binary("ashr", place, ops.same(1, place)))
    c2, c3 = _words(ops, stream)
    for _ in range(ROUNDS):
        left = _words(ops, ops.binary("mul", c0, ops.same(FACTORS[0], c0)))
        right = _words(ops, ops.binary("mul", c2, ops.same(FACTORS[1], c2)))
        c0, c1, c2, c3 = (
            ops.binary("xor", ops.binary("xor", right[1], c1), k0),
            right[0],
            ops.binary("xor", ops.binary("xor", left[1], c3), k1),
            left[0],
        )
        k0, k1 = (_stepped(ops, key, step) for key, step in zip((k0, k1), KEY_STEPS, strict=True))
    odd = ops.test("icmp ne", ops.binary("and", place, ops.same(1, place)), ops.same(0, place))
    first, second = ops.select(odd, c2, c0), ops.select(odd, c3, c1)
    return ops.binary("or", first, ops.binary("shl", second, ops.same(32, place)))


def _words(ops: Primitives, x: Value) -> tuple[Value, Value]:
    """The lower and the upper 32 bits of each lane."""
    return ops.binary("and", x, ops.same(WORD, x)), ops.binary("lshr", x, ops.same(32, x))


def _stepped(ops: Primitives, key: Value, step: int) -> Value:
    return ops.binary("and", ops.binary("add", key, ops.same(step, key)), ops.same(WORD, key))
