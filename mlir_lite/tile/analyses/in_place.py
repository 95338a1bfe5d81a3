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
from ...expr.simplify import from_linear, linear
from ..nodes import Async, Buffer, Kernel
from .accesses import Accesses, Site
from .conditions import conditional_bounds, loop_conditions
from .dependence import names_bound_in
from .scopes import walk_scoped
from .separation import dimensions_of, flat_index, separated


def is_elementwise(kernel: Kernel, read: Buffer, written: Buffer) -> bool:
    """Proven: with both parameters in one place, no element is read after it is overwritten."""
    return InPlace(kernel).is_proven(read, written)


class InPlace:
    """The proofs for one kernel, whose accesses are found once for all pairs of parameters."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._limits: dict[int, list[tuple[int, int]]] = {}

    @cached_property
    def _accesses(self) -> Accesses:
        return Accesses(self._kernel)

    @cached_property
    def _sites(self) -> list[tuple[int, Site]]:
        return list(enumerate(self._accesses.sites(self._accesses.body)))

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
        reads = [(at, site) for at, site in self._sites if site.access.buffer == read.name]
        stores = [
            (at, site)
            for at, site in self._sites
            if site.access.buffer == written.name and site.access.writes
        ]
        loops = {id(loop): loop for _, site in (*reads, *stores) for loop in site.loops}
        inner = {number: names_bound_in(loop.body) for number, loop in loops.items()}
        alike = read.shape == written.shape
        return all(
            (alike and self._lie_apart(at, when))
            or _is_safe(self._accesses, earlier, later, at <= when, read, written, inner)
            for (at, earlier), (when, later) in product(reads, stores)
        )

    def _lie_apart(self, first: int, second: int) -> bool:
        """Whether two sites never meet along a dimension, each under its own conditions: whole
        panels of a matrix, and what is left of it."""
        pairs = zip(self._limits_of(first), self._limits_of(second), strict=True)
        return any(high < low or top < bottom for (bottom, high), (low, top) in pairs)

    def _limits_of(self, at: int) -> list[tuple[int, int]]:
        """The inclusive limits of a site's indices."""
        if at not in self._limits:
            accesses, (_, site) = self._accesses, self._sites[at]
            held = [accesses.plain(part) for part in _held(site)]
            self._limits[at] = [
                conditional_bounds(place, held, accesses.bounds) for place in site.access.indices
            ]
        return self._limits[at]


def _is_safe(
    accesses: Accesses,
    reading: Site,
    writing: Site,
    in_order: bool,
    read: Buffer,
    written: Buffer,
    inner: Mapping[int, frozenset[str]],
) -> bool:
    """No read of one site meets an earlier write of the other; `inner` has the names bound in
    each loop, by its identity."""
    source = from_linear(flat_index(reading.access.indices, read.shape))
    target = from_linear(flat_index(writing.access.indices, written.shape))
    apart = [source - target]
    places: list[tuple[Expr, ...]] = [(source,), (target,)]
    shape: tuple[int, ...] = (read.elements,)
    if read.shape == written.shape:  # pieces of a matrix often lie apart in one dimension only
        places, shape = [reading.access.indices, writing.access.indices], read.shape
        apart = [*(mine - theirs for mine, theirs in zip(*places, strict=True)), *apart]
    bounds = _narrowed(accesses.bounds, reading, writing)
    dimensions = dimensions_of(places, shape)
    for outer, other in zip(reading.loops, writing.loops, strict=False):
        if outer is not other:
            break
        if not separated(outer.axis, dimensions, inner[id(outer)], bounds):
            return False
    if in_order:  # in one iteration of the loops around both, the order of the text counts
        return True
    differences = [from_linear(linear(difference)) for difference in apart]
    if any(not low <= 0 <= high for low, high in (bounds_of(it, bounds) for it in differences)):
        return True  # which is told much sooner than what conditions say
    held = [accesses.plain(condition) for condition in _held(reading, writing)]
    limits = (conditional_bounds(difference, held, bounds) for difference in differences)
    return any(not low <= 0 <= high for low, high in limits)


def _held(*sites: Site) -> Iterator[Expr]:
    """What is true where all of these accesses happen, whatever the data."""
    for site in sites:
        limits = (limit for loop in site.loops for limit in loop_conditions(loop))
        for condition in (*site.conditions, *limits):
            if not has_loads(condition):
                yield condition


def _narrowed(bounds: Bounds, reading: Site, writing: Site) -> Bounds:
    """The limits of the axes where both accesses happen: a masked vector ends at its condition."""
    narrowed = dict(bounds)
    for site, other in ((reading, writing), (writing, reading)):
        shared = {loop.axis for loop in other.loops}
        for loop in site.loops:
            if loop.axis not in shared:
                axis = Var(INDEX, loop.axis)
                narrowed[loop.axis] = conditional_bounds(axis, site.conditions, bounds)
    return narrowed
