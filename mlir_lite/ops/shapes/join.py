"""Tensors joined along an axis, and cut along it again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import check
from ...expr import Expr, select
from ...ir import Element, Op, Operand, Value, op
from ...sizes import Dim, Quotient, Shape, Size, names_of
from ...types import Array, TensorType
from ..base.axes import check_axis, normal_axis
from ..base.body import Indices
from ..base.broadcast import shape_text
from ..base.elements import emit
from ..base.promote import as_value, as_values, check_same_dtype
from .shape import expand_dims, with_size
from .slice import slice_axis


@op
class Concat(Op):
    """Tensors one after the other along an axis that there is."""

    xs: tuple[Value, ...]
    axis: int

    def infer(self) -> TensorType:
        check(self.xs, "nothing to join")
        check_same_dtype(*self.xs)
        first = self.xs[0]
        check_axis(self.axis, first.rank)
        total: Size = 0
        for x in self.xs:
            text = f"{shape_text(first.shape)} and {shape_text(x.shape)}"
            alike = x.rank == first.rank and all(
                have == want or axis == self.axis
                for axis, (have, want) in enumerate(zip(x.shape, first.shape, strict=True))
            )
            check(alike, f"the shapes {text} differ beside axis {self.axis}{_advice(x.shape)}")
            total = total + x.shape[self.axis]
        return first.type.with_shape(with_size(first.shape, self.axis, total))

    def reference(self, xs: tuple[Array, ...]) -> Array:
        return np.concatenate(xs, self.axis)

    def body(self, at: Indices, xs: tuple[Element, ...]) -> Expr:
        sizes = [x.type.static_shape[self.axis] for x in xs]
        value: Expr | None = None
        for position in reversed(range(len(xs))):
            if sizes[position] == 0 and sum(sizes) > 0:
                continue
            start = sum(sizes[:position])
            moved = (*at[: self.axis], at[self.axis] - start, *at[self.axis + 1 :])
            element = xs[position][moved]
            inside = at[self.axis] < start + sizes[position]
            value = element if value is None else select(inside, element, value)
        assert value is not None
        return value

    def gradient(self, y: Value, dy: Value) -> tuple[tuple[Value, ...]]:
        return (split(dy, [x.shape[self.axis] for x in self.xs], self.axis),)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return Concat(self.xs, perm.index(self.axis))


def _advice(shape: Shape) -> str:
    """How to say of a size that it divides, where halves of it, doubled, would be it again."""
    quotients = [
        atom
        for size in shape
        if isinstance(size, Dim)
        for atoms, _ in size.terms
        for atom in atoms
        if isinstance(atom, Quotient)
    ]
    if not quotients or not isinstance(quotients[0].denominator, int):
        return ""
    name, by = min(names_of(quotients[0].numerator)), quotients[0].denominator
    return (
        f"; where {name} is a multiple of {by}, the type says so by {by} * ml.Dim.named({name!r})"
    )


def concat(xs: Sequence[Operand], axis: int = 0) -> Value:
    """Tensors one after the other along an axis that there is."""
    values = as_values(*xs)
    check(values and values[0].rank > 0, "concat takes at least one tensor, of rank 1 or more")
    if len(values) == 1:
        return values[0]
    return emit(Concat(values, normal_axis(axis, values[0].rank)))


def stack(xs: Sequence[Operand], axis: int = 0) -> Value:
    """Tensors of one shape one after the other along a new axis."""
    values = as_values(*xs)
    return concat([expand_dims(value, axis) for value in values], axis)


def split(x: Operand, parts: int | Sequence[Size], axis: int = 0) -> tuple[Value, ...]:
    """`x` cut along an axis into this many equal parts, or into parts of these sizes."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    size = value.shape[place]
    if isinstance(parts, (int, np.integer)):
        check(parts > 0 and size % parts == 0, f"{size} does not divide into {parts} parts")
        sizes: tuple[Size, ...] = (size // int(parts),) * int(parts)
    else:
        sizes = tuple(parts)
    total: Size = 0
    found = []
    for part in sizes:
        found.append(slice_axis(value, place, total, part))
        total = total + part
    check(total == size, f"parts of {shape_text(sizes)} make {total}, not {size}")
    return tuple(found)


OPS: tuple[type[Op], ...] = (Concat,)
