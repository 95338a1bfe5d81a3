"""The gradients of scatters, by how updates are joined into what is there."""

from __future__ import annotations

from typing import Protocol

from ...ir import Value
from ...sizes import product
from ...types import i64
from ..base.cast import cast
from ..base.elements import Gradients
from ..elementwise.compare import equal
from ..elementwise.select import where
from .creation import full, iota
from .shape import reshape


class Scattering(Protocol):
    """What of a scatter its gradient needs."""

    @property
    def x(self) -> Value: ...
    @property
    def updates(self) -> Value: ...
    @property
    def reduction(self) -> str: ...

    def read(self, value: Value) -> Value:
        """The elements of a value of the shape of `x` at the places that are written."""

    def written(self, x: Value, updates: Value, reduction: str) -> Value:
        """The same scatter of other values."""


def scatter_gradients(op: Scattering, y: Value, dy: Value) -> Gradients:
    """The gradients of `x`, the indices and the updates."""
    match op.reduction:
        case "add":
            return dy, None, op.read(dy)
        case "none":
            return _of_the_last(op, dy)
        case "mul":
            return _of_products(op, dy)
    return _of_extremes(op, y, dy)


def _of_the_last(op: Scattering, dy: Value) -> Gradients:
    """To the update written last at each place, and to `x` where none was: the updates are
    numbered, and the number that is left at a place is that of the last."""
    shape = op.updates.shape
    numbers = reshape(iota(product(shape)), shape)
    last = op.written(full(op.x.shape, -1, i64), numbers, "none")
    stays = equal(op.read(last), numbers)
    return where(last < 0, dy, 0), None, where(stays, op.read(dy), 0)


def _of_products(op: Scattering, dy: Value) -> Gradients:
    """To each factor the product of the others, which nothing is divided out of where one is 0."""
    none, nothing = equal(op.x, 0), equal(op.updates, 0)
    zeros = op.written(cast(none, i64), cast(nothing, i64), "add")
    rest = op.written(where(none, 1, op.x), where(nothing, 1, op.updates), "mul")

    def others(factor: Value, is_zero: Value, count: Value, product_: Value) -> Value:
        alone, unharmed = equal(count, 1), equal(count, 0)
        quotient = product_ / where(is_zero, 1, factor)
        return where(is_zero, where(alone, product_, 0), where(unharmed, quotient, 0))

    return (
        dy * others(op.x, none, zeros, rest),
        None,
        op.read(dy) * others(op.updates, nothing, op.read(zeros), op.read(rest)),
    )


def _of_extremes(op: Scattering, y: Value, dy: Value) -> Gradients:
    """In equal parts to all that reach the extreme, as `max` over an axis has it."""
    reached, reaching = equal(op.x, y), equal(op.updates, op.read(y))
    ones, more = cast(reached, dy.dtype), cast(reaching, dy.dtype)
    count = op.written(ones, more, "add")
    part = dy / where(count > 0, count, 1)
    return where(reached, part, 0), None, where(reaching, op.read(part), 0)
