"""Random numbers, by the seed that each call of a compiled graph draws from torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .... import ops
from ....ir import Value
from ....sizes import Size
from ....types import DType, bool_
from ..promote import default_float, together
from .typed import AnyReader, Drawing, Source


def native_dropout(
    source: Source, x: Value, p: float, train: bool | None
) -> tuple[Value, Value]:
    """`x` without a share `p` of it, the others scaled so that the mean stays; and what is kept."""
    if train is False:
        return x, ops.ones(x.shape, bool_)
    kept = ops.random.bernoulli(source.seed, x.shape, 1 - p, stream=source.stream)
    scaled = x if p == 1 else together(ops.multiply, x, 1 / (1 - p))
    return ops.where(kept, scaled, 0), kept


def uniform(
    source: Source, shape: Sequence[Size], *, dtype: DType | None = None, **_: object
) -> Value:
    """From 0 to below 1, of this shape."""
    wanted = dtype or default_float()
    return ops.random.uniform(source.seed, shape, stream=source.stream, dtype=wanted)


def normal(
    source: Source, shape: Sequence[Size], *, dtype: DType | None = None, **_: object
) -> Value:
    """Of the mean 0 and the deviation 1, of this shape."""
    wanted = dtype or default_float()
    return ops.random.normal(source.seed, shape, stream=source.stream, dtype=wanted)


def bernoulli(source: Source, x: Value, p: float, **_: object) -> Value:
    """1 with probability `p`, elsewhere 0, in the shape and the type of `x`."""
    return ops.cast(ops.random.bernoulli(source.seed, x.shape, p, stream=source.stream), x.dtype)


def like(function: Drawing) -> Drawing:
    """The reader of the same in the shape of a tensor, and in its type unless another is given."""

    def read(source: Source, x: Value, *, dtype: DType | None = None, **_: object) -> Value:
        drawn: Value = function.function(source, x.shape, dtype=dtype or x.dtype)
        return drawn

    return Drawing(read)


_NORMAL, _UNIFORM = Drawing(normal), Drawing(uniform)

READERS: Mapping[str, AnyReader] = {
    "aten.bernoulli.p": Drawing(bernoulli),
    "aten.native_dropout": Drawing(native_dropout),
    "aten.rand": _UNIFORM,
    "aten.rand_like": like(_UNIFORM),
    "aten.randn": _NORMAL,
    "aten.randn_like": like(_NORMAL),
}
