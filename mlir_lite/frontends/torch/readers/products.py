"""Products of matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .... import ops
from ....ir import Value
from ..promote import together
from .reductions import norm
from .typed import Reader, Typed


def linear(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """`x weightᵀ + bias`."""
    y = ops.matmul(x, weight if weight.rank == 1 else ops.transpose(weight))
    return y if bias is None else y + bias


def added(x: Value, lhs: Value, rhs: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * lhs rhs`; where `beta` is 0, `x` is not looked at."""
    y = ops.matmul(lhs, rhs)
    y = y if alpha == 1 else together(ops.multiply, y, alpha)
    if beta == 0:
        return y
    return y + (x if beta == 1 else together(ops.multiply, x, beta))


def outer_added(x: Value, lhs: Value, rhs: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * outer(lhs, rhs)`."""
    return added(x, ops.expand_dims(lhs, 1), ops.expand_dims(rhs, 0), beta=beta, alpha=alpha)


def batches_added(x: Value, lhs: Value, rhs: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    """`beta * x + alpha * Σ lhs[i] rhs[i]`: one product along batch and inner axis together."""
    wide = ops.reshape(ops.swapaxes(lhs, 0, 1), (lhs.shape[1], lhs.shape[0] * lhs.shape[2]))
    tall = ops.reshape(rhs, (rhs.shape[0] * rhs.shape[1], rhs.shape[2]))
    return added(x, wide, tall, beta=beta, alpha=alpha)


def trilinear(
    first: Value,
    second: Value,
    third: Value,
    of_first: Sequence[int],
    of_second: Sequence[int],
    of_third: Sequence[int],
    summed: Sequence[int],
    _unroll: int = 1,
) -> Value:
    """A sum of products of three tensors, each with new axes at the places given for it."""
    rank = first.rank + len(of_first)
    letters = "abcdefghijklmnopqrstuvwxyz"[:rank]
    sides = [
        "".join(letter for place, letter in enumerate(letters) if place not in new)
        for new in (of_first, of_second, of_third, summed)
    ]
    return ops.einsum(f"{','.join(sides[:3])}->{sides[3]}", first, second, third)


def distances(x: Value, y: Value, order: float, _mode: int | None = None) -> Value:
    """The distance of each row of one to each row of the other."""
    apart = ops.expand_dims(x, -2) - ops.expand_dims(y, -3)
    return norm(apart, order, -1)


def einsum(equation: str, operands: Sequence[Value], *, path: object = None) -> Value:
    """A sum of products as the equation says."""
    return ops.einsum(equation, *operands)


READERS: Mapping[str, Reader | Typed] = {
    "aten._cdist_forward": distances,
    "aten._trilinear": trilinear,
    "aten.addbmm": batches_added,
    "aten.addmm": added,
    "aten.addmv": added,
    "aten.addr": outer_added,
    "aten.baddbmm": added,
    "aten.bmm": ops.matmul,
    "aten.dot": ops.matmul,
    "aten.einsum": einsum,
    "aten.linear": linear,
    "aten.matmul": ops.matmul,
    "aten.mm": ops.matmul,
    "aten.mv": ops.matmul,
    "aten.vdot": ops.matmul,
}
