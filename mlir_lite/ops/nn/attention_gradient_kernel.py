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

from ...expr import Expr, Load, Var, cast, const, index, select
from ...tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Stmt, Store
from ...tile.tree import loops_over, var
from ..base.body import Indices, computing_type, power_below
from ..kernels.stored import Stored


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
        return tuple(var(f"b{axis}") for axis in range(len(self.results[0].shape) - 2))

    def kernel(self, name: str) -> Kernel:
        wide = self.results[0].dtype
        keys = self.results[1].shape[-2]
        weights = Buffer("weights", wide, (keys,), Space.SHARED)
        row = tuple(
            Buffer(entry, wide, (), Space.REGISTER) for entry in ("score", "top", "total", "toward")
        )
        body = (*self._cleared(1), *self._cleared(2), self._query(weights))
        batch = ((f"b{axis}", extent) for axis, extent in enumerate(self.results[0].shape[:-2]))
        body = loops_over(batch, body)
        params = (*self.given.values(), *self.results)
        outputs = tuple(result.name for result in self.results)
        return Kernel(name, params, outputs, body, (weights, *row))

    def _cleared(self, position: int) -> Block:
        result = self.results[position]
        at = (var(f"t{position}"), var(f"d{position}"))
        clear = Store(Ref(result.name, (*self.batch, *at)), const(0, result.dtype))
        rows, columns = result.shape[-2:]
        return (_loop(at[0].name, rows, _loop(at[1].name, columns, clear)),)

    def _read(self, name: str, *at: Expr) -> Expr:
        """An element in the type it is computed in; leading axes broadcast."""
        buffer = self.given[name]
        return Stored(buffer, tuple(range(len(buffer.shape)))).wide(self.batch, *at)

    def _query(self, weights: Buffer) -> Stmt:
        """All that a query adds."""
        of_queries, of_keys, _ = self.results
        keys, depth = of_keys.shape[-2:]
        s, t = var("s"), var("t.top")
        return _loop(
            s.name,
            of_queries.shape[-2],
            self._scores(weights, s),
            self._set("top", -math.inf),
            _loop(t.name, keys, _add(Ref("top", ()), _at(weights, t), "max")),
            self._set("total", 0),
            self._powers(weights),
            self._changes(weights, s),
            _loop("d.4", depth, *self._of_query(weights, s, var("d.4"))),
        )

    def _scores(self, weights: Buffer, s: Var) -> Stmt:
        """`for t: weights[t] = sum over d of queries[s, d] * keys[t, d]`, scaled and masked."""
        keys, depth = self.results[1].shape[-2:]
        t, d = var("t.score"), var("d.0")
        product = self._read("queries", s, d) * self._read("keys", t, d)
        return _loop(
            t.name,
            keys,
            self._set("score", 0),
            _loop(d.name, depth, _add(Ref("score", ()), product)),
            Store(Ref(weights.name, (t,)), self._score(self._get("score"), s, t)),
        )

    def _powers(self, weights: Buffer) -> Stmt:
        """`for t: weights[t] = exp(weights[t] - top);  total += weights[t]`."""
        t = var("t.power")
        power = power_below(_at(weights, t) - self._get("top"))
        return _loop(
            t.name,
            weights.shape[0],
            Store(Ref(weights.name, (t,)), power),
            _add(Ref("total", ()), _at(weights, t)),
        )

    def _changes(self, weights: Buffer, s: Var) -> Stmt:
        """What a query adds to the gradients of values and keys; its weights become the gradients
        of its scores."""
        _, of_keys, of_values = self.results
        width, depth = of_values.shape[-1], of_keys.shape[-1]
        t, e, f, g = var("t.change"), var("d.1"), var("d.2"), var("d.3")
        weight, scale = _at(weights, t), const(self.scale, weights.dtype)
        toward = self._read("arrived", s, e) * self._read("values", t, e)
        to_value = weight * self._read("arrived", s, f)
        change = weight * (self._get("toward") - self._read("along", s, index(0))) * scale
        to_key = weight * self._read("queries", s, g)
        return _loop(
            t.name,
            weights.shape[0],
            Store(Ref(weights.name, (t,)), weight / self._get("total")),
            self._set("toward", 0),
            _loop(e.name, width, _add(Ref("toward", ()), toward)),
            _loop(f.name, width, _add(Ref(of_values.name, (*self.batch, t, f)), to_value)),
            Store(Ref(weights.name, (t,)), change),
            _loop(g.name, depth, _add(Ref(of_keys.name, (*self.batch, t, g)), to_key)),
        )

    def _of_query(self, weights: Buffer, s: Var, d: Var) -> Block:
        """`of_queries[s, d] = sum over t of weights[t] * keys[t, d]`."""
        t = var("d.5")
        return (
            self._set("score", 0),
            _loop(
                t.name,
                weights.shape[0],
                _add(Ref("score", ()), _at(weights, t) * self._read("keys", t, d)),
            ),
            Store(Ref(self.results[0].name, (*self.batch, s, d)), self._get("score")),
        )

    def _get(self, register: str) -> Load:
        return Load(self.results[0].dtype, register, ())

    def _set(self, register: str, value: float) -> Store:
        return Store(Ref(register, ()), const(value, self.results[0].dtype))

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


def _at(weights: Buffer, t: Var) -> Load:
    return Load(weights.dtype, weights.name, (t,))


def _add(target: Ref, value: Expr, combiner: str = "sum") -> Accumulate:
    return Accumulate(combiner, (target,), (value,))
