"""Part of a kernel's work: its first iterations of some axes, on parameters of which a view may
start anywhere. Moved along, the same kernel does any other part.

    for i in 0..128: for j in 0..64: y[i, j] = x[i] * w[j]
      ->  for i in 0..8: for j in 0..16: y[i * 64 + j] = x[i] * w[j]       of x[8], w[16], y[464]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...expr import Bounds, Expr, Load, bounds_of, simplify, substitute_vars
from ...expr.simplify import from_linear, linear_sum
from ..nodes import Block, Buffer, Kernel, Loop, Ref
from ..traverse import rewrite_block, walk
from ..tree import accesses, loop_bounds, map_refs, rewrite_loops, tidy, var


@dataclass(frozen=True)
class Part:
    """The kernel of a part, and by how many elements each parameter's view moves from one part to
    the next along an axis: `moves[axis][parameter]`."""

    kernel: Kernel
    moves: Mapping[str, Mapping[str, int]]


def part_of(kernel: Kernel, extents: Mapping[str, int]) -> Part | None:
    """The first `extents` iterations of these axes, which must not be more than there are; None
    where a parameter's view cannot be moved from part to part."""
    shorter = kernel
    for axis in extents:
        shorter = rewrite_loops(shorter, (axis,), lambda loop, _: (_shorter(loop, extents),))
    bounds = _bounds(tidy(shorter).body, {})
    moves: dict[str, dict[str, int]] = {axis: {} for axis in extents}
    buffers = kernel.buffers
    changed: dict[str, Buffer] = {}
    for param in kernel.params:
        places = {at for name, at, _ in accesses(kernel.body) if name == param.name}
        if len(places) != 1 or param.layout is not None:
            return None
        (at,) = places
        for axis, count in extents.items():
            move = _move(buffers[param.name], at, axis, count, bounds)
            if move is None:
                return None
            moves[axis][param.name] = move
        changed[param.name] = _shrunk(param, at, bounds)
    return Part(_on(tidy(shorter), changed), moves)


def _shorter(loop: Loop, extents: Mapping[str, int]) -> Loop:
    return replace(loop, stop=loop.start + extents[loop.axis])


def _bounds(block: Block, found: dict[str, tuple[int, int]]) -> Bounds:
    for stmt in walk(block):
        if isinstance(stmt, Loop):
            found[stmt.axis] = loop_bounds(stmt, found)
    return found


def _move(
    param: Buffer, at: tuple[Expr, ...], axis: str, count: int, bounds: Bounds
) -> int | None:
    """How many elements further an access is, so many iterations later; None if that varies."""
    later = tuple(substitute_vars(part, {axis: var(axis) + count}) for part in at)
    parts = [
        *((simplify(part, bounds), step) for part, step in zip(later, param.strides, strict=True)),
        *((simplify(part, bounds), -step) for part, step in zip(at, param.strides, strict=True)),
    ]
    terms = {term: factor for term, factor in linear_sum(parts).items() if factor}
    return terms.get(None, 0) if terms.keys() <= {None} else None


def _shrunk(param: Buffer, at: tuple[Expr, ...], bounds: Bounds) -> Buffer:
    """The parameter without what is not touched at its end: flat, if that is in several axes."""
    sizes = tuple(bounds_of(simplify(part, bounds), bounds)[1] + 1 for part in at)
    if sizes[1:] == param.shape[1:]:
        return replace(param, shape=sizes)
    last = sum((size - 1) * step for size, step in zip(sizes, param.strides, strict=True))
    return replace(param, shape=(last + 1,))


def _on(kernel: Kernel, params: Mapping[str, Buffer]) -> Kernel:
    """The kernel on other forms of its parameters."""
    strides = {param.name: param.strides for param in kernel.params}

    def place(name: str, at: tuple[Expr, ...]) -> tuple[Expr, ...]:
        if name not in params or len(params[name].shape) == len(at):
            return at
        return (from_linear(linear_sum(zip(at, strides[name], strict=True))),)

    def read(node: Expr) -> Expr | None:
        if not isinstance(node, Load):
            return None
        return Load(node.dtype, node.buffer, place(node.buffer, node.indices))

    def written(ref: Ref) -> Ref:
        return Ref(ref.buffer, place(ref.buffer, ref.indices))

    body = map_refs(rewrite_block(kernel.body, read), written)
    return replace(kernel, params=tuple(params[param.name] for param in kernel.params), body=body)
