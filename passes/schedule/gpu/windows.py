"""Small windows that slide over a result, found in a nest: depthwise convolutions, pools.

    for i: for j: for c: {acc = 0;  for k: for l: acc += x[i + k, j + l, c] * w[k, l, c];  y = acc}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ....expr import COMBINERS, Apply, Cast, Const, Expr, Load, index, loads_of, vars_of
from ....expr.simplify import factor_of, linear_sum
from ....tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Store
from ....tile.steps.lift_guards import conjuncts
from ....tile.tree import accesses, extent_of, var
from .products.contraction import Reduction, as_reduction
from .work import iterations

TAPS = 49  # of a window that is written out, at most


@dataclass(frozen=True)
class Slide:
    """An axis of the result along which windows slide by `step`; the taps that they have there are
    `dilation` apart. A thread has so many `results` along it."""

    axis: Loop
    tap: Loop
    dimension: int  # of what is seen
    step: int
    dilation: int
    results: int = 1

    @property
    def apart(self) -> int:
        """How far the elements that a thread sees are from one another."""
        return self.dilation if self.results == 1 else min(self.step, self.dilation)

    @property
    def seen(self) -> int:
        """How many elements a thread sees."""
        reach = (self.results - 1) * self.step + (extent_of(self.tap) - 1) * self.dilation
        return reach // self.apart + 1

    @property
    def is_whole(self) -> bool:
        """Whether every thread has all its results."""
        return extent_of(self.axis) % self.results == 0

    def place(self, result: Expr, tap: Expr) -> Expr:
        """Which of the seen elements a tap of a result is."""
        return result * (self.step // self.apart) + tap * (self.dilation // self.apart)

    def at(self, first: Expr, place: Expr) -> dict[str, Expr]:
        """A result and a tap that see the element at a place, the thread's first result given."""
        if self.apart == self.dilation:
            return {self.axis.axis: first, self.tap.axis: place}
        return {self.axis.axis: first + place, self.tap.axis: index(0)}

    def follows(self, expr: Expr) -> bool:
        """Whether a linear expression is the same for all results and taps that see an element."""
        terms = linear_sum([(expr, 1)])
        factors = [factor_of(loop.axis, terms) for loop in (self.axis, self.tap)]
        if None in factors:
            return False
        along, across = (factor or 0 for factor in factors)
        return along * self.dilation == across * self.step


@dataclass(frozen=True)
class Windows:
    """A nest of windows: its loops, those along which windows slide, the reduction, what is seen
    and what it is multiplied by, if it is, and what is done with a result."""

    kernel: Kernel
    loops: Sequence[Loop]
    slides: tuple[Slide, ...]
    reduction: Reduction
    total: Buffer
    seen: Expr
    factor: Expr | None
    finish: Block

    @property
    def taps(self) -> int:
        return iterations(list(self.reduction.loops))


def as_windows(kernel: Kernel, loops: list[Loop]) -> Windows | None:
    """The windows that a kernel of independent loops is, if all their taps can be written out."""
    match loops[-1].body if loops else ():
        case (Store(target=Ref(buffer=name), value=Const()), stmt, *finish):
            found, total = as_reduction(stmt, name), kernel.buffers[name]
        case _:
            return None
    if found is None or iterations(list(found.loops)) > TAPS or kernel.locals != (total,):
        return None
    written = {buffer for buffer, _, writes in accesses(tuple(finish)) if writes}
    reads = {load.buffer for value in found.update.values for load in loads_of(value)}
    if reads & written or total.elements != 1:
        return None
    for seen, factor in _parts(found.update):
        slides = _slides(kernel, loops, found, seen)
        slid = {slide.axis.axis for slide in slides}
        if slides and (factor is None or not vars_of(factor) & slid):
            return Windows(kernel, loops, slides, found, total, seen, factor, tuple(finish))
    return None


def _parts(update: Accumulate) -> Iterator[tuple[Expr, Expr | None]]:
    """What a window may see, one element for each tap, and what that is multiplied by."""
    match update.values:
        case (Apply(function="mul", args=(first, second)),) if update.combiner == "sum":
            yield first, second
            yield second, first
        case (value,) if COMBINERS[update.combiner].function:
            yield value, None


def _slides(
    kernel: Kernel, loops: Sequence[Loop], found: Reduction, seen: Expr
) -> tuple[Slide, ...]:
    """How windows slide, along one axis of the result for each loop over taps; empty where they do
    not."""
    load = seen.value if isinstance(seen, Cast) else seen
    if not isinstance(load, Load) or kernel.buffers[load.buffer].layout is not None:
        return ()
    slides: list[Slide] = []
    for tap in found.loops:
        for (dimension, place), axis in product(enumerate(load.indices), loops):
            terms = linear_sum([(place, 1)])
            step, dilation = (factor_of(loop.axis, terms) or 0 for loop in (axis, tap))
            if step > 0 and dilation > 0 and (step % dilation == 0 or dilation % step == 0):
                slides.append(Slide(axis, tap, dimension, step, dilation))
                break
        else:
            return ()
    names = {slide.axis.axis for slide in slides}
    sides = [side for guard in found.guards for part in conjuncts(guard) for side in _linear(part)]
    followed = all(slide.follows(part) for slide in slides for part in (*load.indices, *sides))
    return tuple(slides) if followed and len(names) == len(slides) else ()


def _linear(condition: Expr) -> tuple[Expr, ...]:
    """What a comparison compares; of any other condition the axes that it is of."""
    match condition:
        case Apply(function="lt" | "le" | "gt" | "ge", args=args):
            return args
    return tuple(map(var, sorted(vars_of(condition))))
