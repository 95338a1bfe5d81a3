"""Operations that move elements: shapes, parts, and reading and writing at indices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import UnsupportedError, check
from ...ir import Op
from ...ir.constant_op import Constant
from ...ops.base.broadcast import Broadcast
from ...ops.reductions.cumulative import Cumprod, Cumsum
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes import index, scatter, shape
from ...ops.shapes.creation import Iota
from ...ops.shapes.join import Concat
from ...ops.shapes.slice import Pad, Slice
from ...sizes import static
from .site import Call, Site, Tensor, plain, with_op

_REDUCTIONS = {"add": "sum", "mul": "prod", "min": "amin", "max": "amax"}


def _slice(op: Slice, x: Tensor) -> Tensor:
    """By narrowing and strides; torch has no negative steps, so such axes are turned first."""
    backwards = [axis for axis, step in enumerate(op.steps) if step < 0]
    picked = []
    bounds = zip(op.x.type.static_shape, static(op.starts), static(op.sizes), op.steps, strict=True)
    for extent, start, size, step in bounds:
        first = extent - 1 - start if step < 0 else start
        picked.append(slice(first, first + max(0, (size - 1) * abs(step) + 1), abs(step)))
    turned = torch.flip(x, backwards) if backwards else x
    return turned[tuple(picked)] if picked else turned


def _pad(site: Site, op: Pad, x: Tensor) -> Tensor:
    low, high = static(op.low), static(op.high)
    if op.mode == "constant":
        # torch counts axes from the last.
        widths = [width for pair in reversed(list(zip(low, high, strict=True))) for width in pair]
        return F.pad(x, widths, value=float(op.value))
    for axis, (before, after) in enumerate(zip(low, high, strict=True)):
        if (before, after) != (0, 0):
            mode: Any = op.mode  # one of NumPy's names, which NumPy types as literals
            places = np.pad(np.arange(op.x.type.static_shape[axis]), (before, after), mode)
            x = torch.index_select(x, axis, site.constant(places))
    return x


def _cumulative(op: Cumsum | Cumprod, x: Tensor) -> Tensor:
    run, first = (torch.cumsum, 0) if isinstance(op, Cumsum) else (torch.cumprod, 1)
    ordered = torch.flip(x, [op.axis]) if op.reverse else x
    total = run(ordered, op.axis, dtype=ordered.dtype)
    if op.exclusive:
        widths = [0, 0] * (op.x.rank - 1 - op.axis) + [1, -1]
        total = F.pad(total, widths, value=first)
    return torch.flip(total, [op.axis]) if op.reverse else total


def _long(indices: Tensor) -> Tensor:
    """Indices in torch's own type: bytes would be a mask."""
    return indices.to(torch.int64)


def _gather(op: index.Gather, x: Tensor, indices: Tensor) -> Tensor:
    # Indexing, unlike `index_select`, knows that -1 is the last element.
    return x[(slice(None),) * op.axis + (_long(indices),)]


def _counted(indices: Tensor, extent: int) -> Tensor:
    """Indices in range where -1 is the last element."""
    whole = _long(indices)
    return torch.where(whole < 0, whole + extent, whole)


def _gather_elements(op: index.GatherElements, x: Tensor, indices: Tensor) -> Tensor:
    return torch.gather(x, op.axis, _counted(indices, op.x.type.static_shape[op.axis]))


def _gather_nd(site: Site, op: index.GatherNd, x: Tensor, indices: Tensor) -> Tensor:
    *prefix, depth = op.indices.type.static_shape
    grid = np.indices(prefix)[: op.batch_dims]
    return x[(*map(site.constant, grid), *_tuples(depth, indices))]


def _tuples(depth: int, indices: Tensor) -> tuple[Tensor, ...]:
    """The entries of tuples of indices, each a tensor."""
    whole = _long(indices)
    return tuple(whole[..., place] for place in range(depth))


def _scatter_elements(
    op: scatter.ScatterElements, x: Tensor, indices: Tensor, updates: Tensor
) -> Tensor:
    places = _counted(indices, op.x.type.static_shape[op.axis])
    if op.reduction == "none":
        return torch.scatter(x, op.axis, places, updates)
    return torch.scatter_reduce(x, op.axis, places, updates, _REDUCTIONS[op.reduction])


def _scatter_nd(op: scatter.ScatterNd, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    depth, shape = op.indices.type.static_shape[-1], op.x.type.static_shape
    check(depth > 0, "scatter_nd at tuples of no indices", UnsupportedError)
    places = _tuples(depth, indices)
    if op.reduction in ("none", "add"):
        return torch.index_put(x, places, updates, accumulate=op.reduction == "add")
    # Along one axis, which stands for those that are indexed.
    row: Tensor = 0
    rest = shape[depth:]
    for place, extent in zip(places, shape, strict=False):
        row = row * extent + _counted(place, extent)
    rows = torch.reshape(x, (math.prod(shape[:depth]), *rest))
    new = torch.reshape(updates, (math.prod(op.indices.type.static_shape[:-1]), *rest))
    reduction = _REDUCTIONS[op.reduction]
    return torch.reshape(torch.index_reduce(rows, 0, row.reshape(-1), new, reduction), shape)


def _iota(site: Site, op: Iota) -> Tensor:
    return site.constant(op.reference())


CALLS: Mapping[type[Op], Call] = {
    Constant: lambda site, op: site.constant(op.value.array()),
    Iota: _iota,
    Barrier: plain(lambda x, after: x),
    shape.Reshape: with_op(lambda op, x: torch.reshape(x, static(op.shape))),
    shape.Transpose: with_op(lambda op, x: torch.permute(x, op.perm)),
    Broadcast: with_op(lambda op, x: x.expand(static(op.shape))),
    Concat: with_op(lambda op, xs: torch.cat(xs, op.axis)),
    Slice: with_op(_slice),
    Pad: _pad,
    Cumsum: with_op(_cumulative),
    Cumprod: with_op(_cumulative),
    index.Gather: with_op(_gather),
    index.GatherElements: with_op(_gather_elements),
    index.GatherNd: _gather_nd,
    scatter.ScatterElements: with_op(_scatter_elements),
    scatter.ScatterNd: with_op(_scatter_nd),
}
