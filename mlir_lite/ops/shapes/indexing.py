"""The type rules that reading and writing at indices share."""

from __future__ import annotations

from ...errors import check
from ...ir import Value
from ...sizes import Size
from ..base.axes import check_axis
from ..base.broadcast import shape_text
from ..base.promote import check_kind

OUT_OF_RANGE = "an index is out of range"


def check_readable(extent: Size, indices: Value) -> None:
    """There is something to read along an indexed axis, or no index."""
    check(extent != 0 or indices.type.elements == 0, "indices into an axis of no elements")


def check_elements(x: Value, indices: Value, axis: int) -> None:
    """`indices` has the rank of `x` and, beside `axis`, sizes that are not larger."""
    check_kind(indices, "iu")
    check_axis(axis, x.rank)
    text = f"indices of shape {shape_text(indices.shape)} into {shape_text(x.shape)}"
    check(indices.rank == x.rank, f"{text}: the ranks differ")
    for place, (have, limit) in enumerate(zip(indices.shape, x.shape, strict=True)):
        if place == axis:
            check_readable(limit, indices)
        elif isinstance(have, int) and isinstance(limit, int):
            check(have <= limit, f"{text}: axis {place} is larger")


def index_depth(x: Value, indices: Value, batch_dims: int = 0) -> int:
    """How many axes of `x` the tuples along the last axis of `indices` address."""
    check_kind(indices, "iu")
    check(0 <= batch_dims < max(1, indices.rank), f"{batch_dims} batch axes in {indices.type}")
    depth = indices.shape[-1] if indices.rank else 0
    check(isinstance(depth, int) and depth > 0, "the last axis of indices holds tuples of indices")
    assert isinstance(depth, int)
    check(
        batch_dims + depth <= x.rank,
        f"tuples of {depth} indices after {batch_dims} batch axes, into {x.rank} axes",
    )
    for axis in range(batch_dims, batch_dims + depth):
        check_readable(x.shape[axis], indices)
    return depth
