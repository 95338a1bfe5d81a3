"""Which iterations of a loop touch the same memory: the independence of loops, proven from the
linear form of the indices.

The interpreter runs independent iterations at once; the verifier looks for races.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import gcd, prod
from typing import TypeAlias

from ..expr import (
    COMBINERS,
    INDEX,
    Bounds,
    Expr,
    Var,
    apply,
    bounds_of,
    loads_of,
    substitute_vars,
    vars_of,
)
from ..expr import index as literal
from ..expr.nodes import Apply, Const
from ..expr.simplify import linear
from .inline import Scope
from .nodes import Accumulate, Async, Await, Block, Buffer, Let, Loop, Stmt, Sync, Wait
from .scopes import inner_blocks, loads_in, targets_of, walk_scoped

Linear: TypeAlias = dict[Expr | None, int]


class Mode(Enum):
    """How a loop's iterations depend on each other."""

    INDEPENDENT = "independent"  # each has elements of its own
    REDUCTION = "reduction"  # they meet only in accumulations that nothing else reads
    SERIAL = "serial"  # not known to be either


@dataclass(frozen=True, slots=True)
class Access:
    """A read or a write of a buffer, its indices over axes and loaded values only."""

    buffer: str
    indices: tuple[Expr, ...]
    writes: bool
    stmt: Stmt


def static_bounds(body: Block) -> dict[str, tuple[int, int]]:
    """Inclusive limits of every axis and name of a kernel, as far as they can be told."""
    bounds: dict[str, tuple[int, int]] = {}
    for stmt in walk_scoped(body):
        match stmt:
            case Loop(axis=axis, start=start, stop=stop):
                bounds[axis] = (bounds_of(start, bounds)[0], bounds_of(stop, bounds)[1] - 1)
            case Let(name=name, value=value) if value.dtype == INDEX:
                bounds[name] = bounds_of(value, bounds)
    return bounds


def plain_lets(body: Block) -> dict[str, Expr]:
    """The names bound to values that load nothing, with their values over axes only."""
    lets: dict[str, Expr] = {}
    for stmt in walk_scoped(body):
        if isinstance(stmt, Let) and not any(True for _ in loads_of(stmt.value)):
            lets[stmt.name] = substitute_vars(stmt.value, lets)
    return lets


def accesses_in(body: Block, lets: Mapping[str, Expr]) -> Iterator[Access]:
    """Every access of a block in the order of its text, a statement's reads first."""
    for stmt in walk_scoped(body):
        for load in loads_in(stmt):
            indices = tuple(substitute_vars(part, lets) for part in load.indices)
            yield Access(load.buffer, indices, False, stmt)
        for target in targets_of(stmt):
            indices = tuple(substitute_vars(part, lets) for part in target.indices)
            yield Access(target.buffer, indices, True, stmt)


def names_bound_in(body: Block) -> frozenset[str]:
    return frozenset(
        stmt.axis if isinstance(stmt, Loop) else stmt.name
        for stmt in walk_scoped(body)
        if isinstance(stmt, Loop | Let)
    )


def private_in(body: Block) -> frozenset[str]:
    """The locals declared in a block: each of its runs has its own."""
    return frozenset(
        local.name
        for stmt in walk_scoped(body)
        if isinstance(stmt, Scope)
        for local in stmt.locals
    )


def recombine(terms: Linear) -> Linear:
    """Undo quotient and remainder: `n * (x // n) + x % n  ->  x`."""
    terms = dict(terms)
    changed = True
    while changed:
        changed = False
        for term, factor in list(terms.items()):
            match term:
                case Apply(function="mod", args=(value, Const(value=by))) if by > 0:
                    wanted = _quotient(value, int(by))
                case _:
                    continue
            partner = next(
                (
                    other
                    for other, coefficient in terms.items()
                    if coefficient == factor * by and _as_quotient(other) == wanted
                ),
                None,
            )
            if partner is not None:
                del terms[term], terms[partner]
                for part, coefficient in linear(value).items():
                    terms[part] = terms.get(part, 0) + factor * coefficient
                changed = True
                break
    return {term: factor for term, factor in terms.items() if factor}


def _as_quotient(term: Expr | None) -> tuple[Expr, int] | None:
    match term:
        case Apply(function="floordiv", args=(value, Const(value=by))) if by > 0:
            return _quotient(value, int(by))
    return None


def _quotient(value: Expr, by: int) -> tuple[Expr, int]:
    """`(x // a) // b` is `x // (a * b)`."""
    match value:
        case Apply(function="floordiv", args=(inner, Const(value=first))) if first > 0:
            return _quotient(inner, by * int(first))
    return value, by


def flat_index(indices: tuple[Expr, ...], shape: tuple[int, ...]) -> Linear:
    """The row-major place of an element as a sum."""
    total: Expr = literal(0)
    for axis, part in enumerate(indices):
        total = total + part * literal(prod(shape[axis + 1 :]))
    return recombine(linear(total))


def distinct(
    axis: str,
    indices: Sequence[tuple[Expr, ...]],
    shape: tuple[int, ...],
    inner: frozenset[str],
    bounds: Bounds,
) -> bool:
    """Proven: no two iterations of the loop over `axis` share an element among these accesses.

    `inner` are the names bound in the loop's body. In some dimension, or in the flat memory, the
    indices of iteration `a` lie in `f * a + outer + [low, high]` with one `f` and `outer` for
    all, and no `f * (a - b)` leads from one such interval to another. Where `a // q` and `a % q`
    stand apart, both must separate so.
    """
    return separated(axis, dimensions_of(indices, shape), inner, bounds)


def dimensions_of(
    indices: Sequence[tuple[Expr, ...]], shape: tuple[int, ...]
) -> list[list[Linear]]:
    """The indices of some accesses in each dimension, and last in the flat memory, as sums."""
    dimensions = [[linear(part) for part in at] for at in zip(*indices, strict=True)]
    return [*dimensions, [flat_index(at, shape) for at in indices]]


def separated(
    axis: str,
    dimensions: Sequence[Sequence[Linear]],
    inner: frozenset[str],
    bounds: Bounds,
) -> bool:
    """As `distinct`, for accesses whose `dimensions_of` are known."""

    def separable(target: Expr) -> bool:
        if any(_separates(target, axis, sums, inner, bounds) for sums in dimensions):
            return True
        divisors = {
            term.args[1]
            for sums in dimensions
            for terms in sums
            for term in terms
            if isinstance(term, Apply) and term.function == "mod" and term.args[0] == target
        }
        return any(
            separable(_divided(target, by)) and separable(apply("mod", target, by))
            for by in divisors
        )

    target = Var(INDEX, axis)
    if separable(target):
        return True
    # Sums that differ wherever the axis does, `turn * 132 + block` of fewer than 132 blocks.
    sums_of_it = {
        term.args[0]
        for sums in dimensions
        for terms in sums
        for term in terms
        if isinstance(term, Apply) and term.function == "mod" and axis in vars_of(term.args[0])
    } - {target}
    return any(
        _separates(target, axis, [linear(sum_)], inner, bounds) and separable(sum_)
        for sum_ in sums_of_it
    )


def _divided(value: Expr, by: Expr) -> Expr:
    """`value // by`; `x // 12` for `(x // 4) // 3`."""
    if not isinstance(by, Const):
        return apply("floordiv", value, by)
    inner, whole = _quotient(value, int(by.value))
    return apply("floordiv", inner, literal(whole))


def _separates(
    target: Expr, axis: str, sums: Sequence[Linear], inner: frozenset[str], bounds: Bounds
) -> bool:
    """Do different values of `target`, a term over the axis, give different sums?"""
    seen: set[tuple[int, frozenset[tuple[Expr | None, int]]]] = set()
    lows: list[int] = []
    highs: list[int] = []
    near: list[tuple[int, int]] = []  # the limits without the large terms within the loop
    steps = 0  # what those are multiples of
    for terms in sums:
        low = high = least = most = terms.get(None, 0)
        outer: set[tuple[Expr | None, int]] = set()
        for term, coefficient in terms.items():
            if term is None or term == target:
                continue
            names = vars_of(term)
            if any(True for _ in loads_of(term)):
                return False
            if names & inner or axis in names:  # anything within its limits
                ends = [coefficient * end for end in bounds_of(term, bounds)]
                low, high = low + min(ends), high + max(ends)
                if abs(coefficient) < abs(terms.get(target, 0)):
                    least, most = least + min(ends), most + max(ends)
                else:
                    steps = gcd(steps, coefficient)
            else:
                outer.add((term, coefficient))
        seen.add((terms.get(target, 0), frozenset(outer)))
        lows.append(low)
        highs.append(high)
        near.append((least, most))
    if len(seen) != 1:
        return False
    ((factor, _),) = seen
    first, last = bounds_of(target, bounds)
    if first == last or not factor:
        return first == last
    limits = set(zip(lows, highs, strict=True))
    meetings = (
        _reaches(abs(factor), last - first, low - most, high - least)
        for low, high in limits
        for least, most in limits
    )
    if not any(meetings):
        return True
    # `f * target + little + steps * anything`: different targets leave different remainders.
    little = max(most for _, most in near) - min(least for least, _ in near)
    reach = abs(factor) * (last - first)
    return little < abs(factor) and reach + little < steps


def _reaches(step: int, steps: int, low: int, high: int) -> bool:
    """Does some number of steps, at least one and at most `steps`, end within [low, high]?"""
    number = max(1, -(-low // step))
    return number <= steps and number * step <= high


class Dependences:
    """The modes of all loops of a body (with scopes), and how large the loops in them get.

    `aliases` maps buffers that share memory to one name; their indices must mean the same.
    """

    def __init__(
        self, body: Block, params: Sequence[Buffer], aliases: Mapping[str, str]
    ) -> None:
        self.bounds = static_bounds(body)
        self.modes: dict[str, Mode] = {}
        self.reduced: dict[str, frozenset[str]] = {}  # the buffers a loop accumulates into
        self.inner_points: dict[str, int] = {}  # of the largest nest inside a loop
        self.local_elements: dict[str, int] = {}  # declared inside a loop
        self._lets = plain_lets(body)
        self._shapes = {buffer.name: buffer.shape for buffer in params}
        for stmt in walk_scoped(body):
            if isinstance(stmt, Scope):
                self._shapes |= {local.name: local.shape for local in stmt.locals}
        self._aliases = aliases
        self._visit(body)

    def _visit(self, body: Block) -> None:
        for stmt in body:
            for inner in inner_blocks(stmt):
                self._visit(inner)
            if isinstance(stmt, Loop):
                self.modes[stmt.axis] = self._mode(stmt)
                self.inner_points[stmt.axis] = self._points(stmt.body)
                self.local_elements[stmt.axis] = sum(
                    local.elements
                    for inner_stmt in walk_scoped(stmt.body)
                    if isinstance(inner_stmt, Scope)
                    for local in inner_stmt.locals
                )

    def _points(self, body: Block) -> int:
        most = 1
        for stmt in body:
            for inner in inner_blocks(stmt):
                points = self._points(inner)
                if isinstance(stmt, Loop):
                    low, high = self.bounds[stmt.axis]
                    points *= max(1, high - low + 1)
                most = max(most, points)
        return most

    def _mode(self, loop: Loop) -> Mode:
        if any(isinstance(stmt, Sync | Async | Wait | Await) for stmt in walk_scoped(loop.body)):
            return Mode.SERIAL
        private = private_in(loop.body)
        touched: dict[str, list[Access]] = {}
        for access in accesses_in(loop.body, self._lets):
            if access.buffer not in private:
                name = self._aliases.get(access.buffer, access.buffer)
                touched.setdefault(name, []).append(access)
        inner = names_bound_in(loop.body)
        reduced: set[str] = set()
        for name, accesses in touched.items():
            if not any(access.writes for access in accesses):
                continue
            indices = [access.indices for access in accesses]
            if distinct(loop.axis, indices, self._shapes[name], inner, self.bounds):
                continue
            if not _only_accumulates(accesses, {loop.axis} | inner):
                return Mode.SERIAL
            reduced.add(accesses[0].buffer)
        self.reduced[loop.axis] = frozenset(reduced)
        if not reduced:
            return Mode.INDEPENDENT
        nested = (stmt for stmt in walk_scoped(loop.body) if isinstance(stmt, Loop))
        if any(self.modes[stmt.axis] == Mode.SERIAL for stmt in nested):
            return Mode.SERIAL
        return Mode.REDUCTION


def _only_accumulates(accesses: list[Access], names: set[str]) -> bool:
    """Is one Accumulate all that touches the buffer, and one that can be reordered at once?"""
    (stmt, *others) = [access.stmt for access in accesses]
    if others or not isinstance(stmt, Accumulate):
        return False
    if COMBINERS[stmt.combiner].function:
        return True
    # The states of a tuple are joined together: each iteration must name the same ones.
    return not any(vars_of(part) & names for ref in stmt.targets for part in ref.indices)
