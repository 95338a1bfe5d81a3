"""The recipe for small windows that slide over a result: a thread has a tile of neighbouring
results; what their windows see it loads once.

    for i: for j: for c: {acc = 0;  for k: for l: acc += x[i + k, j + l, c] * w[k, l, c];  y = acc}
      ->  thread: {seen[0..4, 0..6] = x[i.o * 2 + .., j.o * 4 + .., c];  kept[0..3, 0..3] = w[.., c]
                   for k, l: for i, j: acc[i, j] += seen[i + k, j + l] * kept[k, l];  y = acc[i, j]}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from ....expr import (
    COMBINERS,
    TRUE,
    Expr,
    Load,
    all_of,
    const,
    has_loads,
    index,
    loads_of,
    rewrite_expr,
    select,
    substitute_vars,
)
from ....target import Gpu
from ....tile.nodes import Block, Buffer, If, Kernel, Let, Loop, Ref, Space, Stmt, Store
from ....tile.traverse import map_expressions
from ....tile.tree import Names, chain, extent_of, nest, tidy, var
from .products.blocks import unrolled
from .windows import Slide, Windows
from .work import iterations

SEEN = 64  # elements that a thread holds in registers, at most
ROWS, PIXELS = 4, 8  # of a thread's tile, at most
BUSY = 256  # threads that keep a multiprocessor busy


def by_windows(windows: Windows, gpu: Gpu) -> tuple[Kernel, list[Loop]]:
    """The kernel with a tile of results in each iteration, and its independent loops."""
    return _Tiling.of(_tiled(windows, gpu)).kernel()


def _tiled(windows: Windows, gpu: Gpu) -> Windows:
    """The windows with so many results a thread, along the last two axes that are not those of
    neighbouring threads, that there is least to load and to add, and threads enough."""
    lane = windows.loops[-1].axis
    free = [slide for slide in windows.slides if slide.axis.axis != lane][-2:]
    sides = [
        range(1, min(extent_of(slide.axis), most) + 1)
        for slide, most in zip(free, (ROWS, PIXELS)[-len(free) :], strict=False)
    ]
    candidates = [_with_results(windows, free, results) for results in product(*sides)]
    fitting = [made for made in candidates if prod(s.seen for s in made.slides) <= SEEN]
    least = gpu.multiprocessors * BUSY
    busy = [made for made in fitting if iterations(_outer(made)) >= least]
    return min(busy or candidates[:1], key=_work)


def _with_results(
    windows: Windows, free: Sequence[Slide], results: Sequence[int]
) -> Windows:
    counts = dict(zip(free, results, strict=True))
    slides = tuple(replace(slide, results=counts.get(slide, 1)) for slide in windows.slides)
    return replace(windows, slides=slides)


def _outer(windows: Windows) -> list[Loop]:
    """The loops over tiles and what is not tiled."""
    results = {slide.axis.axis: slide.results for slide in windows.slides}
    return [
        replace(loop, start=index(0), stop=index(-(-extent_of(loop) // results[loop.axis])))
        if results.get(loop.axis, 1) > 1
        else loop
        for loop in windows.loops
    ]


def _work(windows: Windows) -> float:
    """What all threads do: accesses, of which one takes the time of four additions."""
    results = prod(slide.results for slide in windows.slides)
    seen = prod(slide.seen for slide in windows.slides)
    each = seen + windows.taps + results + windows.taps * results / 4
    return iterations(_outer(windows)) * each


@dataclass(frozen=True)
class _Tiling:
    """The work of writing windows by tiles."""

    windows: Windows
    names: Names
    total: Buffer
    seen: Buffer
    kept: Buffer | None

    @staticmethod
    def of(windows: Windows) -> _Tiling:
        names = Names(windows.kernel)
        slides, factor = windows.slides, windows.factor

        def registers(name: str, value: Expr, shape: tuple[int, ...]) -> Buffer:
            return Buffer(names.fresh(name, "_"), value.dtype, shape, Space.REGISTER)

        kept = None
        if factor is not None and has_loads(factor):
            kept = registers("kept", factor, tuple(map(extent_of, windows.reduction.loops)))
        seen = registers("seen", windows.seen, tuple(slide.seen for slide in slides))
        total = replace(windows.total, shape=tuple(slide.results for slide in slides))
        return _Tiling(windows, names, total, seen, kept)

    def kernel(self) -> tuple[Kernel, list[Loop]]:
        """All of it."""
        outer = [self._renamed(loop) for loop in _outer(self.windows)]
        body = (self._seen(), *self._kept(), self._cleared(), self._added(), self._finished())
        locals_ = (self.total, self.seen, *(() if self.kept is None else (self.kept,)))
        kernel = self.windows.kernel
        made = tidy(replace(kernel, body=nest(outer, body), locals=locals_))
        (top,) = made.body
        assert isinstance(top, Loop)
        return made, chain(top)[0][: len(outer)]

    def _renamed(self, loop: Loop) -> Loop:
        tiled = any(slide.axis.axis == loop.axis and slide.results > 1 for slide in self._slides)
        return replace(loop, axis=f"{loop.axis}.o") if tiled else loop

    @property
    def _slides(self) -> tuple[Slide, ...]:
        return self.windows.slides

    def _first(self, slide: Slide) -> Expr:
        """The first result of the thread."""
        if slide.results == 1:
            return var(slide.axis.axis)
        return slide.axis.start + var(f"{slide.axis.axis}.o") * slide.results

    def _unrolled(self, prefix: str, extents: Sequence[int]) -> tuple[list[Loop], list[Expr]]:
        """Loops that are written out, and their axes."""
        axes = [self.names.fresh(f"{prefix}{place}") for place in range(len(extents))]
        loops = [unrolled(axis, extent) for axis, extent in zip(axes, extents, strict=True)]
        return loops, [var(axis) for axis in axes]

    def _seen(self) -> Stmt:
        """What all windows of the tile see; the combiner's identity beyond the edge."""
        loops, places = self._unrolled("s", self.seen.shape)
        axes: dict[str, Expr] = {}
        for slide, place in zip(self._slides, places, strict=True):
            axes.update(slide.at(self._first(slide), place))
        value = substitute_vars(self.windows.seen, axes)
        guards = [substitute_vars(guard, axes) for guard in self.windows.reduction.guards]
        load = next(loads_of(value))
        shape = self.windows.kernel.buffers[load.buffer].shape
        guards += [
            load.indices[slide.dimension] < shape[slide.dimension]
            for slide in self._slides
            if not slide.is_whole
        ]
        combiner = COMBINERS[self.windows.reduction.update.combiner]
        beyond = const(combiner.identity[0](value.dtype), value.dtype)
        inside = all_of(*guards)
        if inside != TRUE:
            value = select(inside, value, beyond)
        return _around(loops, Store(Ref(self.seen.name, tuple(places)), value))

    def _kept(self) -> Block:
        """What the elements are multiplied by, tap by tap."""
        if self.kept is None:
            return ()
        loops, places = self._unrolled("t", self.kept.shape)
        taps = zip(self.windows.reduction.loops, places, strict=True)
        assert self.windows.factor is not None
        value = substitute_vars(self.windows.factor, {loop.axis: at for loop, at in taps})
        return (_around(loops, Store(Ref(self.kept.name, tuple(places)), value)),)

    def _cleared(self) -> Stmt:
        loops, places = self._unrolled("r", self.total.shape)
        combiner = COMBINERS[self.windows.reduction.update.combiner]
        value = const(combiner.identity[0](self.total.dtype), self.total.dtype)
        return _around(loops, Store(Ref(self.total.name, tuple(places)), value))

    def _added(self) -> Stmt:
        """Every tap of every window, in the order of the taps."""
        counted, taps = self._unrolled("t", tuple(map(extent_of, self.windows.reduction.loops)))
        loops, results = self._unrolled("r", self.total.shape)
        places = tuple(
            slide.place(result, tap)
            for slide, result, tap in zip(self._slides, results, taps, strict=True)
        )
        value: Expr = Load(self.seen.dtype, self.seen.name, places)
        if self.kept is not None:
            value = value * Load(self.kept.dtype, self.kept.name, tuple(taps))
        elif self.windows.factor is not None:
            value = value * self.windows.factor
        total = Ref(self.total.name, tuple(results))
        update = replace(self.windows.reduction.update, targets=(total,), values=(value,))
        return _around([*counted, *loops], update)

    def _finished(self) -> Stmt:
        """What is to be done with each result."""
        loops, results = self._unrolled("r", self.total.shape)
        total = Load(self.total.dtype, self.total.name, tuple(results))
        lets: list[Stmt] = []
        inside: list[Expr] = []
        for slide, result in zip(self._slides, results, strict=True):
            if slide.results > 1:
                lets.append(Let(slide.axis.axis, self._first(slide) + result))
            if not slide.is_whole:
                inside.append(var(slide.axis.axis) < slide.axis.stop)

        def summed(node: Expr) -> Expr | None:
            return total if isinstance(node, Load) and node.buffer == self.total.name else None

        body = map_expressions(self.windows.finish, lambda expr: rewrite_expr(expr, summed))
        body = (If(all_of(*inside), body),) if inside else body
        return _around(loops, *lets, *body)


def _around(loops: Sequence[Loop], *body: Stmt) -> Stmt:
    (made,) = nest(list(loops), body)
    return made
