"""Convolutions leave out the taps that see nothing but the zeros around an image.

    call @pad(%x, %padded)                   call @pad(%x, %padded)
    call @conv(%padded, %w, %y)      ->      call @conv_inside(%padded, %w, %y)

The first row of results and the last one have fewer taps then: of a 3x3 convolution a tenth is left
out where it has seven rows, a twentieth where it has fourteen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ...expr import Apply, Const, Expr, Var, index, simplify, substitute_vars, vars_of
from ...tile.nodes import Kernel, Loop, Store
from ...tile.program import CallStep, Program, Step, View, calls_of
from ...tile.steps.skip_zeros import skip_zeros
from ...tile.traverse import walk
from ...tile.tree import has_constant_limits
from .variants import Changed, Variants

Inside = tuple[tuple[int, int], ...]  # of each axis: where zeros end, and where they begin again


def skip_padding(program: Program, naive: Mapping[str, Kernel]) -> Changed:
    """The program with such kernels; `naive` has all as they were before they were scheduled."""
    variants = Variants.of(program)
    padded = _padded(program, naive)

    def visit(step: Step) -> Step:
        if not isinstance(step, CallStep):
            return step
        seen = tuple(
            padded.get(view.slot) if view == View(view.slot) else None for view in step.args
        )
        return variants.call(step, _inside(variants.kernels[step.kernel], seen), "inside")

    return variants.program(program, tuple(map(visit, program.steps)))


def _inside(kernel: Kernel, seen: tuple[Inside | None, ...]) -> Kernel:
    """A kernel whose parameters have zeros around what is inside."""
    for param, inside in zip(kernel.params, seen, strict=True):
        if inside is None or len(inside) != len(param.shape) or param.layout is not None:
            continue
        for axis, ((first, last), extent) in enumerate(zip(inside, param.shape, strict=True)):
            if (first, last) != (0, extent):
                kernel = skip_zeros(kernel, param.name, axis, first, last)
    return kernel


def _padded(program: Program, naive: Mapping[str, Kernel]) -> dict[str, Inside]:
    """The slots that one kernel alone writes, with zeros around."""
    calls = list(calls_of(program.steps))
    kernels = {kernel.name: kernel for kernel in program.kernels}
    written = Counter(
        view.slot
        for call in calls
        for param, view in zip(kernels[call.kernel].params, call.args, strict=True)
        if param.name in kernels[call.kernel].outputs
    )
    found: dict[str, Inside] = {}
    for call in calls:
        inside = _zeros_around(naive[call.kernel]) if call.kernel in naive else None
        view = call.args[-1]
        if inside is not None and view == View(view.slot) and written[view.slot] == 1:
            found[view.slot] = inside
    return found


def _zeros_around(kernel: Kernel) -> Inside | None:
    """Between which places along each axis a kernel writes what may be other than zero, if it has
    one result and that zeros around."""
    stores = [stmt for stmt in walk(kernel.body) if isinstance(stmt, Store)]
    if len(stores) != 1 or kernel.outputs != (kernel.params[-1].name,):
        return None
    (store,) = stores
    match store.value:
        case Apply(function="select", args=(condition, _, Const(value=value))) if value == 0:
            pass
        case _:
            return None
    loops = {stmt.axis: stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop)}
    extents = kernel.params[-1].shape
    inside: list[tuple[int, int]] = []
    for place, extent in zip(store.target.indices, extents, strict=True):
        first, last = 0, extent
        loop = loops.get(place.name) if isinstance(place, Var) else None
        if isinstance(place, Var) and loop is not None and has_constant_limits(loop):
            own = [part for part in _conjuncts(condition) if vars_of(part) == {place.name}]
            first, last = _met(own, place.name, extent)
        inside.append((first, last))
    whole = all(pair == (0, extent) for pair, extent in zip(inside, extents, strict=True))
    return None if whole else tuple(inside)


def _conjuncts(condition: Expr) -> Iterator[Expr]:
    match condition:
        case Apply(function="and", args=parts):
            for part in parts:
                yield from _conjuncts(part)
        case _:
            yield condition


def _met(conditions: Sequence[Expr], axis: str, extent: int) -> tuple[int, int]:
    """Between which turns of an axis all conditions on it may be met; they compare sums, so that
    these are turns in a row."""

    def met(turn: int) -> bool:
        return all(_holds(condition, axis, turn) for condition in conditions)

    first = next((turn for turn in range(extent) if met(turn)), 0)
    last = next((turn for turn in reversed(range(extent)) if met(turn)), extent - 1)
    return first, last + 1


def _holds(condition: Expr, axis: str, turn: int) -> bool:
    """Whether a condition on an axis may be met in one of its turns."""
    found = simplify(substitute_vars(condition, {axis: index(turn)}), {})
    return not (isinstance(found, Const) and not found.value)
