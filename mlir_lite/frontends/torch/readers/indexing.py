"""Reading and writing at indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.base.promote import broadcast_together
from ....ops.shapes.slice import slice_axes
from ....types import bool_, i64, u8
from ..promote import Operand, converted
from .typed import Reader, Typed

_REDUCTIONS = {"sum": "add", "prod": "mul", "amin": "min", "amax": "max"}
Places = Sequence[Value | None]


def embedding(table: Value, ids: Value, *_: object) -> Value:
    """Rows of a table."""
    return ops.embedding(ids, table)


def index_select(x: Value, dim: int, places: Value) -> Value:
    """Places of an axis."""
    if x.rank == 0:
        return x
    return ops.gather(x, ops.reshape(places, (places.type.elements,)), dim)


def gather(x: Value, dim: int, index: Value, **_: object) -> Value:
    """Along one axis, at an index for each element."""
    if x.rank == 0 or index.rank == 0:
        return ops.reshape(gather(_line(x), 0, _line(index)), index.shape)
    return ops.gather_elements(_beside(x, index, dim), index, dim)


def _line(x: Value) -> Value:
    return ops.reshape(x, (1,)) if x.rank == 0 else x


def _beside(x: Value, index: Value, dim: int | None) -> Value:
    """The part of `x` that an index of other sizes reaches: along `dim` all."""
    keep = None if dim is None else dim % x.rank
    sizes = [
        have if axis == keep else want
        for axis, (have, want) in enumerate(zip(x.shape, index.shape, strict=True))
    ]
    return slice_axes(x, [0] * x.rank, sizes)


def _tuples(places: Sequence[Value]) -> Value:
    """Indices of several axes as tuples, along a new last axis."""
    return ops.stack([ops.cast(place, i64) for place in broadcast_together(*places)], -1)


def _check_numbers(places: Places) -> None:
    mask = any(place is not None and place.dtype in (bool_, u8) for place in places)
    what = "a mask as an index, which selects as much as the data say; torch.where keeps the shape"
    check(not mask, what, UnsupportedError)


def _indexed_first(x: Value, places: Places) -> tuple[Value, list[int], list[Value]]:
    """`x` with the axes that are indexed in front, the order of axes that is, and the indices."""
    axes = [axis for axis, place in enumerate(places) if place is not None]
    order = axes + [axis for axis in range(x.rank) if axis not in axes]
    return ops.transpose(x, order), order, [place for place in places if place is not None]


def index(x: Value, places: Places) -> Value:
    """At tensors of integers, one for each axis that is indexed, broadcast together."""
    _check_numbers(places)
    first, _, given = _indexed_first(x, places)
    axes = [axis for axis, place in enumerate(places) if place is not None]
    if len(axes) == 1:
        return ops.gather(x, given[0], axes[0])
    tuples = _tuples(given)
    found = ops.gather_nd(first, tuples)
    if axes != list(range(axes[0], axes[0] + len(axes))):
        return found  # where indices stand apart, their axes come first
    lead = tuples.rank - 1
    rest = [axis + lead for axis in range(x.rank - len(axes))]
    return ops.transpose(found, [*rest[: axes[0]], *range(lead), *rest[axes[0] :]])


def index_put(x: Value, places: Places, values: Value, accumulate: bool = False) -> Value:
    """The tensor with values written, or added, at indices, or where a mask holds."""
    given = [place for place in places if place is not None]
    if len(given) == 1 and given[0].dtype == bool_ and values.type.elements == 1:
        mask = ops.reshape(given[0], (*given[0].shape, *(1,) * (x.rank - given[0].rank)))
        number = ops.cast(ops.reshape(values, ()), x.dtype)
        return ops.where(mask, x + number if accumulate else number, x)
    _check_numbers(places)
    first, order, given = _indexed_first(x, places)
    axes = order[: len(given)]
    tuples = _tuples(given)
    lead, rest = tuples.shape[:-1], first.shape[len(given) :]
    between = axes == list(range(axes[0], axes[0] + len(axes)))
    at = axes[0] if between else 0
    spread = ops.broadcast(values, (*rest[:at], *lead, *rest[at:]))
    n = len(lead)
    updates = ops.transpose(
        spread, [*range(at, at + n), *range(at), *range(at + n, spread.rank)]
    )
    done = ops.scatter_nd(
        first, tuples, ops.cast(updates, x.dtype), "add" if accumulate else "none"
    )
    back = [order.index(axis) for axis in range(x.rank)]
    return ops.transpose(done, back)


def scatter(
    x: Value, dim: int, at: Value, source: Operand, *, reduce: str | None = None
) -> Value:
    """The tensor with elements written along an axis at an index for each."""
    kinds = {None: "none", "add": "add", "multiply": "mul"}
    return _scattered(x, dim, at, source, kinds[reduce])


def scatter_add(x: Value, dim: int, at: Value, source: Value) -> Value:
    """The tensor with elements added along an axis at an index for each."""
    return _scattered(x, dim, at, source, "add")


def scatter_reduce(
    x: Value, dim: int, at: Value, source: Value, reduce: str, *, include_self: bool = True
) -> Value:
    """The tensor with elements joined along an axis at an index for each."""
    check(reduce in _REDUCTIONS, f"the reduction '{reduce}'", UnsupportedError)
    check(include_self, "a reduction without the tensor's own elements", UnsupportedError)
    return _scattered(x, dim, at, source, _REDUCTIONS[reduce])


def _scattered(x: Value, dim: int, at: Value, source: Operand, reduction: str) -> Value:
    if x.rank == 0:
        return ops.reshape(_scattered(_line(x), 0, _line(at), source, reduction), ())
    if isinstance(source, Value) and source.rank == at.rank:
        updates = _beside(source, at, None)
    else:
        updates = ops.broadcast(_flat(converted(source, x.dtype)), at.shape)
    return ops.scatter_elements(x, at, ops.cast(updates, x.dtype), dim, reduction)


def _flat(x: Value) -> Value:
    return ops.reshape(x, ())


READERS: Mapping[str, Reader | Typed] = {
    "aten._unsafe_index": index,
    "aten._unsafe_index_put": index_put,
    "aten.embedding": embedding,
    "aten.gather": gather,
    "aten.index": index,
    "aten.index_put": index_put,
    "aten.index_select": index_select,
    "aten.scatter": scatter,
    "aten.scatter_add": scatter_add,
    "aten.scatter_reduce": scatter_reduce,
}
