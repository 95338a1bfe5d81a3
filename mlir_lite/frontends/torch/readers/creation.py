"""Tensors made of numbers, and triangles."""

from __future__ import annotations

from collections.abc import Mapping

from .... import ops
from ....ir import Value
from ....sizes import Dim
from ....types import TensorType
from ..promote import Number, Ratio, converted
from .typed import Reader, Typed


def arange(wanted: TensorType, *bounds: Number, **_: object) -> Value:
    """`start, start + step, …`, as many as torch has found; `end` alone, or start, end, step."""
    start: Number = 0 if len(bounds) == 1 else bounds[0]
    step: Number = bounds[2] if len(bounds) > 2 else 1
    count = ops.iota(wanted.shape[0], wanted.dtype)
    y = count if step == 1 else count * converted(step, wanted.dtype)
    return y if start == 0 and not isinstance(start, Dim) else y + converted(start, wanted.dtype)


def linspace(wanted: TensorType, start: float, end: float, steps: int, **_: object) -> Value:
    """Numbers in equal steps."""
    return ops.cast(ops.linspace(float(start), float(end), steps, dtype=wanted.dtype), wanted.dtype)


def _filled(number: float) -> Typed:
    """The reader of a tensor of one number."""
    return Typed(lambda wanted, *_, **__: _full(wanted, number))


def _full(wanted: TensorType, number: Number) -> Value:
    return ops.broadcast(converted(_of_kind(number, wanted), wanted.dtype), wanted.shape)


def _of_kind(number: Number, wanted: TensorType) -> Number:
    """A number as the type holds it: torch cuts fractions off for integers."""
    if isinstance(number, (Dim, Ratio)) or wanted.dtype.is_float:
        return number
    return bool(number) if wanted.dtype.kind == "b" else int(number)


def full(wanted: TensorType, _shape: object, number: Number, **_: object) -> Value:
    """One number in every place."""
    return _full(wanted, number)


def new_full(wanted: TensorType, _x: Value, _shape: object, number: Number, **_: object) -> Value:
    """One number in every place of a tensor of another's type."""
    return _full(wanted, number)


def scalar_tensor(wanted: TensorType, number: Number, **_: object) -> Value:
    """A number as a tensor without axes."""
    return _full(wanted, number)


def eye(wanted: TensorType, *_: object, **__: object) -> Value:
    """Ones on the diagonal."""
    return ops.eye(*wanted.shape, dtype=wanted.dtype)


def tril(x: Value, diagonal: int = 0) -> Value:
    """The lower triangle, zeros above."""
    return ops.tril(x, diagonal)


def triu(x: Value, diagonal: int = 0) -> Value:
    """The upper triangle, zeros below."""
    return ops.triu(x, diagonal)


READERS: Mapping[str, Reader | Typed] = {
    "aten.arange": Typed(arange),
    "aten.empty": _filled(0),
    "aten.empty_like": _filled(0),
    "aten.eye": Typed(eye),
    "aten.full": Typed(full),
    "aten.full_like": Typed(full),
    "aten.linspace": Typed(linspace),
    "aten.new_empty_strided": _filled(0),
    "aten.new_full": Typed(new_full),
    "aten.new_ones": _filled(1),
    "aten.new_zeros": _filled(0),
    "aten.ones": _filled(1),
    "aten.ones_like": _filled(1),
    "aten.scalar_tensor": Typed(scalar_tensor),
    "aten.tril": tril,
    "aten.triu": triu,
    "aten.zeros": _filled(0),
    "aten.zeros_like": _filled(0),
}
