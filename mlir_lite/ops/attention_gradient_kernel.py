"""The kernel of attention's gradients, plain: a query after the other.

    for b: {of_keys = 0;  of_values = 0;
      for s: {for t: weights[t] = softmax of scores;
        for t: {of_values[t] += weights[t] * arrived[s];
                weights[t] = weights[t] * (sum over e of arrived[s] * values[t] - along[s]) * scale;
                of_keys[t] += weights[t] * queries[s]}
        of_queries[s] = sum over t of weights[t] * keys[t]}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..expr import INDEX, Expr, Load, Var, apply, cast, const, index, select
from ..tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Stmt, Store
from .body import Indices, computing_type
from .stored import Stored


def gradient_kernel(
    name: str,
    given: Mapping[str, Buffer],
    results: tuple[Buffer, ...],
    scale: float,
    causal: bool,
) -> Kernel:
    """The kernel of buffers `given` by their names, and of the results."""
    return _Gradient(given, results, scale, causal).kernel(name)


@dataclass(frozen=True)
class _Gradient:
    """The work of writing the kernel."""

    given: Mapping[str, Buffer]
    results: tuple[Buffer, ...]
    scale: float
    causal: bool

    @property
    def batch(self) -> Indices:
        return tuple(Var(INDEX, f"b{axis}") for axis in range(len(self.results[0].shape) - 2))

    def kernel(self, name: str) -> Kernel:
        wide = self.results[0].dtype
        keys = self.results[1].shape[-2]
        weights = Buffer("weights", wide, (keys,), Space.SHARED)
        row = tuple(
            Buffer(entry, wide, (), Space.REGISTER) for entry in ("score", "top", "total", "toward")
        )
        body = (*self._cleared(1), *self._cleared(2), self._query(weights))
        for axis, extent in reversed(list(enumerate(self.results[0].shape[:-2]))):
            body = (_loop(f"b{axis}", extent, *body),)
        params = (*self.given.values(), *self.results)
        outputs = tuple(result.name for result in self.results)
        return Kernel(name, params, outputs, body, (weights, *row))

    def _cleared(self, position: int) -> Block:
        result = self.results[position]
        at = (Var(INDEX, f"t{position}"), Var(INDEX, f"d{position}"))
        clear = Store(Ref(result.name, (*self.batch, *at)), const(0, result.dtype))
        rows, columns = result.shape[-2:]
        return (_loop(at[0].name, rows, _loop(at[1].name, columns, clear)),)

    def _read(self, name: str, *at: Expr) -> Expr:
        """An element in the type it is computed in; leading axes broadcast."""
        buffer = self.given[name]
        return Stored(buffer, tuple(range(len(buffer.shape)))).wide(self.batch, *at)

    def _query(self, weights: Buffer) -> Stmt:
        """All that a query adds."""
        of_queries, of_keys, of_values = self.results
        wide, scale = weights.dtype, self.scale
        keys, width = of_values.shape[-2:]
        depth = of_queries.shape[-1]
        s = Var(INDEX, "s")

        def weight(t: Var) -> Load:
            return Load(wide, weights.name, (t,))

        def value(name: str) -> Load:
            return Load(wide, name, ())

        t, u, v, w = (Var(INDEX, f"t.{stage}") for stage in ("score", "top", "power", "change"))
        d, e, f, g, h, x = (Var(INDEX, f"d.{stage}") for stage in range(6))
        score = self._score(value("score"), s, t)
        product = self._read("queries", s, d) * self._read("keys", t, d)
        scored = (
            Store(Ref("score", ()), const(0, wide)),
            _loop(d.name, depth, _add(Ref("score", ()), product)),
            Store(Ref(weights.name, (t,)), score),
        )
        powered = (
            Store(Ref(weights.name, (v,)), apply("exp", weight(v) - value("top"))),
            _add(Ref("total", ()), weight(v)),
        )
        along = self._read("along", s, index(0))
        arrived = self._read("arrived", s, f)
        changed = (
            Store(Ref(weights.name, (w,)), weight(w) / value("total")),
            Store(Ref("toward", ()), const(0, wide)),
            _loop(
                e.name,
                width,
                _add(Ref("toward", ()), self._read("arrived", s, e) * self._read("values", w, e)),
            ),
            _loop(
                f.name,
                width,
                _add(Ref(of_values.name, (*self.batch, w, f)), weight(w) * arrived),
            ),
            Store(
                Ref(weights.name, (w,)), weight(w) * (value("toward") - along) * const(scale, wide)
            ),
            _loop(
                g.name,
                depth,
                _add(
                    Ref(of_keys.name, (*self.batch, w, g)), weight(w) * self._read("queries", s, g)
                ),
            ),
        )
        place = Ref(of_queries.name, (*self.batch, s, h))
        found = (
            Store(Ref("score", ()), const(0, wide)),
            _loop(
                x.name,
                keys,
                _add(Ref("score", ()), weight(x) * self._read("keys", x, h)),
            ),
            Store(place, value("score")),
        )
        return _loop(
            s.name,
            of_queries.shape[-2],
            _loop(t.name, keys, *scored),
            Store(Ref("top", ()), const(-math.inf, wide)),
            _loop(u.name, keys, _add(Ref("top", ()), weight(u), "max")),
            Store(Ref("total", ()), const(0, wide)),
            _loop(v.name, keys, *powered),
            _loop(w.name, keys, *changed),
            _loop(h.name, depth, *found),
        )

    def _score(self, sum_: Expr, s: Expr, t: Expr) -> Expr:
        score = sum_ * const(self.scale, sum_.dtype)
        if "mask" in self.given:
            score = score + cast(
                self._masks((*self.batch, s, t)), computing_type(self.given["mask"].dtype)
            )
        if self.causal:
            score = select(t <= s, score, const(-math.inf, sum_.dtype))
        return score

    def _masks(self, at: Indices) -> Expr:
        """An entry of the mask, all of whose axes broadcast."""
        buffer = self.given["mask"]
        return Stored(buffer, tuple(range(len(buffer.shape)))).load(at)


def _loop(axis: str, extent: int, *body: Stmt) -> Loop:
    return Loop(axis, index(0), index(extent), body)


def _add(target: Ref, value: Expr, combiner: str = "sum") -> Accumulate:
    return Accumulate(combiner, (target,), (value,))
