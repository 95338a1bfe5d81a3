"""Products of tensors by NumPy's names, written as sums of products of named axes."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters

import numpy as np

from ...errors import check
from ...ir import Operand, Value
from ..base.axes import normal_axis
from ..base.promote import as_values
from ..elementwise.arithmetic import multiply
from ..shapes.shape import expand_dims, flatten, reshape
from .einsum import einsum


def tensordot(
    lhs: Operand, rhs: Operand, axes: int | tuple[int | Sequence[int], int | Sequence[int]] = 2
) -> Value:
    """The sum of products over axes of both: the last `axes` of `lhs` and the first of `rhs`, or
    the axes that a pair `(of lhs, of rhs)` names.

    `lhs (a, b, c)`, `rhs (b, c, d)` and `axes=2` give `(a, d)`.
    """
    left, right = as_values(lhs, rhs)
    if isinstance(axes, (int, np.integer)):
        fits = 0 <= axes <= min(left.rank, right.rank)
        check(fits, f"{axes} axes of tensors of rank {left.rank} and {right.rank}")
        axes = range(left.rank - axes, left.rank), range(axes)
    of_left, of_right = (_listed(part) for part in axes)
    check(len(of_left) == len(of_right), f"{len(of_left)} axes go with {len(of_right)}")
    names = list(ascii_letters[: left.rank])
    others = list(ascii_letters[left.rank : left.rank + right.rank])
    for one, other in zip(of_left, of_right, strict=True):
        others[normal_axis(other, right.rank)] = names[normal_axis(one, left.rank)]
    summed = set(names) & set(others)
    kept = [name for name in (*names, *others) if name not in summed]
    check(len(kept) + 2 * len(of_left) == left.rank + right.rank, f"an axis is repeated in {axes}")
    return einsum(f"{''.join(names)},{''.join(others)}->{''.join(kept)}", left, right)


def _listed(axes: int | Sequence[int]) -> tuple[int, ...]:
    return (int(axes),) if isinstance(axes, (int, np.integer)) else tuple(axes)


def outer(lhs: Operand, rhs: Operand) -> Value:
    """The product of each element of one tensor with each of another, both flattened: `(n, m)`."""
    left, right = as_values(lhs, rhs)
    return multiply(expand_dims(flatten(left), 1), flatten(right))


def inner(lhs: Operand, rhs: Operand) -> Value:
    """The sum of products over the last axes: `(.., k)` and `(_, k)` give `(.., _)`."""
    left, right = as_values(lhs, rhs)
    check(left.rank > 0 and right.rank > 0, "an inner product takes no scalars; multiply them")
    return tensordot(left, right, (-1, -1))


def kron(lhs: Operand, rhs: Operand) -> Value:
    """Kronecker's product: `rhs` scaled by each element of `lhs`, in blocks.

    `(a, b)` and `(c, d)` give `(a * c, b * d)`; the one of lower rank has axes of size 1 in front.
    """
    left, right = as_values(lhs, rhs)
    rank = max(left.rank, right.rank)
    shapes = [(1,) * (rank - value.rank) + value.shape for value in (left, right)]
    blocks = [size for pair in zip(shapes[0], (1,) * rank, strict=True) for size in pair]
    within = [size for pair in zip((1,) * rank, shapes[1], strict=True) for size in pair]
    scaled = multiply(reshape(left, blocks), reshape(right, within))
    return reshape(scaled, [a * b for a, b in zip(*shapes, strict=True)])
