"""A part of some columns that are then seen in groups is a part of the groups of all columns."""

from __future__ import annotations

from math import prod

from ...ir import Value, rewrite
from ...ops.shapes.shape import Reshape, reshape
from ...ops.shapes.slice import Slice, slice_axis


@rewrite(Reshape)
def slice_of_groups(op: Reshape) -> Value | None:
    """reshape(slice(x) {starts = [0, 32], sizes = [9, 32]}, [9, 2, 16])
    ->  slice(reshape(x, [9, 6, 16])) {starts = [0, 2, 0], sizes = [9, 2, 16]}"""
    match op.x.op:
        case Slice(x=x, starts=(*zeros, start), steps=steps) if (
            x.type.is_static and set(steps) == {1} and not any(zeros)
            and op.x.shape[:-1] == x.shape[:-1] and 0 not in op.x.shape
        ):
            rows, columns = x.type.static_shape[:-1], x.type.static_shape[-1]
            sizes = op.infer().static_shape
            axes = [axis for axis in range(len(sizes)) if prod(sizes[:axis]) == prod(rows)]
            if not axes or not isinstance(start, int):
                return None
            axis = axes[-1]  # those before it have one element
            group = prod(sizes[axis + 1 :])
            if start % group or columns % group:
                return None
            seen = reshape(x, (*sizes[:axis], columns // group, *sizes[axis + 1 :]))
            return slice_axis(seen, axis, start // group, sizes[axis])
    return None
