"""Runs of neighbouring elements that a thread can read and write at once: sixteen bytes of the
widest type among them.

    for j: y[j] = f(x[j], s)   ->   runs of four along j, of f32 that begin at multiples of four
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

from ....expr import (
    TRUE,
    Apply,
    Bounds,
    Expr,
    Load,
    all_of,
    apply,
    bounds_of,
    has_loads,
    vars_of,
)
from ....expr.traverse import children
from ....tile.analyses.alignment import WIDEST, alignment_of, place_divisor
from ....tile.analyses.dependence import static_bounds
from ....tile.nodes import (
    Block,
    Buffer,
    Kernel,
    Let,
    Space,
    Store,
)
from ....tile.traverse import expressions_of
from ....tile.tree import accesses
from ..analysis import stride


@dataclass(frozen=True)
class Run:
    """What a body reads and writes along an axis: `width` neighbours are one thread's."""

    kernel: Kernel
    body: Block
    axis: str
    width: int

    @cached_property
    def loads(self) -> tuple[Load, ...]:
        """What is read whatever the data are, once each."""
        buffers, bounds = self.kernel.buffers, static_bounds(self.kernel.body)
        found = (
            load
            for stmt in self.body
            for expr in expressions_of(stmt)
            for load in sure_loads(expr, buffers, bounds)
            if buffers[load.buffer].space is Space.GLOBAL
        )
        return tuple(dict.fromkeys(found))

    @cached_property
    def guarded(self) -> Mapping[Load, Expr]:
        """What is read along the axis under a condition that is one for all neighbours, as where
        windows end at an image's edge."""
        buffers = self.kernel.buffers
        named = {stmt.name for stmt in self.body if isinstance(stmt, Let)}
        found: dict[Load, set[Expr]] = {}
        for stmt in self.body:
            for expr in expressions_of(stmt):
                for load, condition in _under_conditions(expr, TRUE):
                    found.setdefault(load, set()).add(condition)

        def is_one(load: Load, condition: Expr) -> bool:
            plain = not has_loads(condition) and not any(map(has_loads, load.indices))
            along = self.moves(load) and buffers[load.buffer].space is Space.GLOBAL
            return plain and along and vars_of(condition).isdisjoint({self.axis, *named})

        alone = {load: one for load, (one, *others) in found.items() if not others}
        return {
            load: condition
            for load, condition in alone.items()
            if load not in self.loads and self.width > 1 and is_one(load, condition)
        }

    @property
    def registers(self) -> int:
        """The elements that a thread has read before it computes any."""
        return self.width * sum(map(self.moves, (*self.loads, *self.guarded)))

    def moves(self, load: Load) -> bool:
        """Whether neighbours read elements of their own, not all the same."""
        return any(self.axis in vars_of(part) for part in load.indices)


def widest_run(kernel: Kernel, body: Block, axis: str, extent: int | None) -> Run | None:
    """The longest run along an axis of so many iterations (None: of any number) of which all that
    moves along it can be read and written at once. None where there is none, or the body does more
    than store what it reads."""
    if not _only_stores(body, axis) or _reads_again(kernel, body):
        return None
    found = [(kernel.buffers[name], at) for name, at in _moving(kernel, body, axis)]
    if any(buffer.space is not Space.GLOBAL for buffer, _ in found):
        return None
    bounds = static_bounds(kernel.body)
    width = WIDEST // max(buffer.dtype.bytes for buffer, _ in found)
    while width > 1:
        whole = extent is None or extent % width == 0
        if whole and all(is_wide(buffer, at, axis, width, bounds) for buffer, at in found):
            return Run(kernel, body, axis, width)
        width //= 2
    return None


def is_wide(
    buffer: Buffer, indices: Sequence[Expr], axis: str, width: int, bounds: Bounds
) -> bool:
    """Whether `width` neighbours along an axis, from a multiple of that on, can move at once: they
    are so many indices of the last dimension."""
    if axis not in vars_of(indices[-1]):
        return False
    place = place_divisor(buffer, indices, bounds, {axis: width}) * buffer.dtype.bytes
    aligned = gcd(place, alignment_of(buffer)) % (width * buffer.dtype.bytes) == 0
    return aligned and stride(buffer, tuple(indices), axis) == 1


def _only_stores(body: Block, axis: str) -> bool:
    """Whether a body names values and stores them, at places along an axis that it says itself."""
    names = {stmt.name for stmt in body if isinstance(stmt, Let)}
    stores = [stmt for stmt in body if isinstance(stmt, Store)]
    moving = all(any(axis in vars_of(at) for at in stmt.target.indices) for stmt in stores)
    direct = not any(names & vars_of(at) for _, indices, _ in accesses(body) for at in indices)
    return bool(stores) and len(stores) + len(names) == len(body) and moving and direct


def _moving(kernel: Kernel, body: Block, axis: str) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    """The accesses of memory that move along an axis."""
    for name, indices, _ in accesses(body):
        local = kernel.buffers[name].space in (Space.REGISTER, Space.FRAGMENT)
        if not local and any(axis in vars_of(part) for part in indices):
            yield name, indices


def _reads_again(kernel: Kernel, body: Block) -> bool:
    """Whether a body reads what it writes: then not all that it reads may be read first."""
    touched = list(accesses(body))
    written = {name for name, _, writes in touched if writes}
    return any(name in written for name, _, writes in touched if not writes)


def sure_loads(expr: Expr, buffers: Mapping[str, Buffer], bounds: Bounds) -> Iterator[Load]:
    """The loads of an expression that may happen whatever the data are; those within others first.
    One that a condition picks may where its place is inside of its buffer in any case."""
    if isinstance(expr, Apply) and expr.function == "select":
        condition, *arms = expr.args
        yield from sure_loads(condition, buffers, bounds)
        for arm in arms:
            found = sure_loads(arm, buffers, bounds)
            yield from (load for load in found if _is_inside(load, buffers, bounds))
        return
    for child in children(expr):
        yield from sure_loads(child, buffers, bounds)
    if isinstance(expr, Load):
        yield expr


def _under_conditions(expr: Expr, condition: Expr) -> Iterator[tuple[Load, Expr]]:
    """The loads of an expression, each with what picks it."""
    if isinstance(expr, Apply) and expr.function == "select":
        picks, then, other = expr.args
        yield from _under_conditions(picks, condition)
        yield from _under_conditions(then, all_of(condition, picks))
        yield from _under_conditions(other, all_of(condition, apply("not", picks)))
        return
    for child in children(expr):
        yield from _under_conditions(child, condition)
    if isinstance(expr, Load):
        yield expr, condition


def _is_inside(load: Load, buffers: Mapping[str, Buffer], bounds: Bounds) -> bool:
    limits = (bounds_of(part, bounds) for part in load.indices)
    shape = buffers[load.buffer].shape
    return all(
        low >= 0 and high < extent for (low, high), extent in zip(limits, shape, strict=True)
    )
