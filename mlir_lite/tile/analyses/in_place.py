"""Which parameters of a kernel may be one memory: a result that takes an operand's place.

Proven from the kernel's own accesses, in the order in which they happen:

    for i in 0..n: y[i] = x[i] + x[i]    ->  y may lie where x lies
    for i in 0..n: y[i] = x[n - 1 - i]   ->  it may not: the second half reads what was overwritten
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import product

from ...expr import INDEX, Bounds, Expr, Var, bounds_of, has_loads
from ...expr.simplify import Linear, linear, sum_bounds
from ..nodes import Async, Buffer, Kernel
from .accesses import Accesses, Site
from .conditions import bounds_under, conditional_bounds, excesses_of, loop_conditions, plus
from .dependence import names_bound_in
from .scopes import walk_scoped
from .separation import flat_index, separated


def is_elementwise(kernel: Kernel, read: Buffer, written: Buffer) -> bool:
    """Proven: with both parameters in one place, no element is read after it is overwritten."""
    return InPlace(kernel).is_proven(read, written)


class InPlace:
    """The proofs for one kernel, whose accesses are found once for all pairs of parameters."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @cached_property
    def _accesses(self) -> Accesses:
        return Accesses(self._kernel)

    @cached_property
    def _sites(self) -> list[tuple[int, _Known]]:
        sites = self._accesses.sites(self._accesses.body)
        return [(at, _Known(self._accesses, site)) for at, site in enumerate(sites)]

    @cached_property
    def _is_late(self) -> bool:
        """Whether something may happen later than where it stands."""
        return any(isinstance(stmt, Async) for stmt in walk_scoped(self._accesses.body))

    def is_proven(self, read: Buffer, written: Buffer) -> bool:
        """As `is_elementwise` of two parameters of the kernel."""
        same_size = (read.dtype.bytes, read.elements) == (written.dtype.bytes, written.elements)
        plain = (read.layout, written.layout) == (None, None)
        if not same_size or not plain or self._is_late:
            return False
        reads = [(at, known) for at, known in self._sites if known.buffer == read.name]
        stores = [
            (at, known)
            for at, known in self._sites
            if known.buffer == written.name and known.site.access.writes
        ]
        loops = {id(loop): loop for _, known in (*reads, *stores) for loop in known.site.loops}
        inner = {number: names_bound_in(loop.body) for number, loop in loops.items()}
        return all(
            _is_safe(earlier, later, at <= when, read, written, inner)
            for (at, earlier), (when, later) in product(reads, stores)
        )


class _Known:
    """What is known of a site, found once for all pairs that it is in."""

    def __init__(self, accesses: Accesses, site: Site) -> None:
        self.site = site
        self.buffer = site.access.buffer
        self._accesses = accesses
        self.bounds: Bounds = accesses.bounds

    @cached_property
    def indices(self) -> list[Linear]:
        return [linear(part) for part in self.site.access.indices]

    @cached_property
    def flat(self) -> Linear:
        """The place in the flat memory."""
        return flat_index(self.site.access.indices, self._accesses.buffers[self.buffer].shape)

    @cached_property
    def excesses(self) -> list[Linear]:
        """Sums that are zero or less where the access happens, whatever the data."""
        return excesses_of(self._accesses.plain(part) for part in _held(self.site))

    @cached_property
    def limits(self) -> list[tuple[int, int]]:
        """The inclusive limits of the indices."""
        return [
            bounds_under(terms, bounds_of(part, self.bounds), self.excesses, self.bounds)
            for part, terms in zip(self.site.access.indices, self.indices, strict=True)
        ]

    @cached_property
    def narrowed(self) -> Mapping[str, tuple[int, int]]:
        """The limits of the axes where it happens: a masked vector ends at its condition."""
        axes = {loop.axis: Var(INDEX, loop.axis) for loop in self.site.loops}
        held = self.site.conditions
        return {name: conditional_bounds(axis, held, self.bounds) for name, axis in axes.items()}


def _is_safe(
    reading: _Known,
    writing: _Known,
    in_order: bool,
    read: Buffer,
    written: Buffer,
    inner: Mapping[int, frozenset[str]],
) -> bool:
    """No read of one site meets an earlier write of the other; `inner` has the names bound in
    each loop, by its identity."""
    dimensions = [(reading.flat, writing.flat)]
    if read.shape == written.shape:  # pieces of a matrix often lie apart in one dimension only
        if _lie_apart(reading, writing):
            return True
        dimensions = [*zip(reading.indices, writing.indices, strict=True), *dimensions]
    bounds = _narrowed(reading, writing)
    for outer, other in zip(reading.site.loops, writing.site.loops, strict=False):
        if outer is not other:
            break
        if not separated(outer.axis, dimensions, inner[id(outer)], bounds):
            return False
    if in_order:  # in one iteration of the loops around both, the order of the text counts
        return True
    apart = [plus(mine, theirs, -1) for mine, theirs in dimensions]
    limits = [sum_bounds(difference, bounds) for difference in apart]
    if any(not low <= 0 <= high for low, high in limits):
        return True  # which is told much sooner than what conditions say
    held = [*reading.excesses, *writing.excesses]
    narrower = (
        bounds_under(difference, known, held, bounds)
        for difference, known in zip(apart, limits, strict=True)
    )
    return any(not low <= 0 <= high for low, high in narrower)


def _lie_apart(reading: _Known, writing: _Known) -> bool:
    """Whether two sites never meet along a dimension, each under its own conditions: whole panels
    of a matrix, and what is left of it."""
    pairs = zip(reading.limits, writing.limits, strict=True)
    return any(high < low or top < bottom for (bottom, high), (low, top) in pairs)


def _held(site: Site) -> Iterator[Expr]:
    """What is true where an access happens, whatever the data."""
    limits = (limit for loop in site.loops for limit in loop_conditions(loop))
    for condition in (*site.conditions, *limits):
        if not has_loads(condition):
            yield condition


def _narrowed(reading: _Known, writing: _Known) -> Bounds:
    """The limits of the axes where both accesses happen."""
    narrowed = dict(reading.bounds)
    for known, other in ((reading, writing), (writing, reading)):
        shared = {loop.axis for loop in other.site.loops}
        narrowed |= {axis: ends for axis, ends in known.narrowed.items() if axis not in shared}
    return narrowed
