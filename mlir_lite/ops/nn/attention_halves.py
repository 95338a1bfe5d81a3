"""The kernel of blocked attention whose products sum pairs of bf16, as instructions do.

    for t: for s: scores[t, s] = sum over d, q of keys[b0, t, 2 * d + q] * queries[d, s, q]
    ..;  for s: for t: weights[s, t] = scores[t, s];  for t: for e: {values[t, e, 0] = ..;  ..}
    for s: for e:
      out[b0, .., e] = (sum over t, q of weights[s, 2 * t + q] * values[t, e, q]) / total[s]

Scores, their softmax and all sums stay in f32; the weights are rounded before they are divided by
their total.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...expr import Expr, Load, apply, cast, const, index
from ...tile.nodes import Accumulate, Block, Buffer, Loop, Ref, Space, Stmt
from ...types import bf16, f32
from .attention_kernel import AttentionKernel, Queries
from .attention_loops import load, store

TOGETHER = 2  # neighbours that are multiplied and summed at once


class NarrowAttentionKernel(AttentionKernel):
    """Attention of bf16 with all keys at once, an even number of them and of what both are
    multiplied over."""

    def of_queries(self, first: Expr, rows: int) -> Block:
        depth, keys, width = self.keys.shape[-1], self.keys.shape[-2], self.result.shape[-1]
        turned = self.local("turned", depth, rows)
        queries = self._pairs("queries", depth, rows)
        weights = self.local("weights", rows, keys, dtype=bf16)
        values = self._pairs("values", keys, width)
        scores = self.local("scores", keys, rows)
        top, share = self.local("top", rows), self.local("share", rows)
        stages, scale = Queries(self, first, rows, turned), const(self.sizes.scale, f32)

        def score(sum_: Expr, t: Expr, s: Expr) -> list[Stmt]:
            return [store(scores, self.masked(sum_ * scale, t, first + s), t, s)]

        def mean(sum_: Expr, s: Expr, e: Expr) -> list[Stmt]:
            part = load(share, s)
            return [self.stored(stages.result(sum_ * part, part), first + s, e)]

        return (
            self.nest(
                {"d": depth, "s": rows},
                lambda d, s: [store(turned, self.queries.wide(self.batch, first + s, d), d, s)],
            ),
            self._paired(queries, lambda d, s: load(turned, d, s)),
            self._product(
                {"t": keys, "s": rows}, depth,
                lambda d, q, t, s: (
                    self.keys.load(self.batch, t, d * TOGETHER + q), load(queries, d, s, q)
                ),
                score,
            ),
            stages.largest(scores, index(0), lambda most, s: [store(top, most, s)]),
            stages.powers(scores, index(0), top),
            stages.total(scores, lambda total, s: [store(share, const(1, f32) / total, s)]),
            self.nest(
                {"s": rows, "t": keys},
                lambda s, t: [store(weights, _half(load(scores, t, s)), s, t)],
            ),
            self._paired(values, lambda t, e: self.values.load(self.batch, t, e)),
            self._product(
                {"s": rows, "e": width}, keys,
                lambda t, q, s, e: (load(weights, s, t * TOGETHER + q), load(values, t, e, q)),
                mean,
            ),
        )  # fmt: skip

    def _pairs(self, name: str, extent: int, columns: int) -> Buffer:
        """A new buffer of columns, each with neighbours among its elements side by side."""
        return self.local(name, extent // TOGETHER, columns, TOGETHER, dtype=bf16)

    def _paired(self, to: Buffer, element: Callable[[Expr, Expr], Expr]) -> Stmt:
        """Rows of elements laid in pairs."""
        extent, columns, _ = to.shape

        def one(k: Expr, n: Expr) -> Sequence[Stmt]:
            places = [(k * TOGETHER + q, index(q)) for q in range(TOGETHER)]
            return [store(to, _half(element(row, n)), k, n, q) for row, q in places]

        return self.nest({"k": extent, "n": columns}, one)

    def _product(
        self,
        extents: dict[str, int],
        depth: int,
        factors: Callable[[Expr, Expr, Expr, Expr], tuple[Load, Load]],
        finish: Callable[[Expr, Expr, Expr], Sequence[Stmt]],
    ) -> Stmt:
        """Sums of products over pairs of `depth` elements, and the statements that take them."""

        def one(m: Expr, n: Expr) -> Sequence[Stmt]:
            total = self.local("acc", space=Space.REGISTER)
            k, q = self.axis("k"), self.axis("q")
            left, right = (cast(factor, f32) for factor in factors(k, q, m, n))
            update = Accumulate("sum", (Ref(total.name, ()),), (left * right,))
            pair = Loop(q.name, index(0), index(TOGETHER), (update,))
            loop = Loop(k.name, index(0), index(depth // TOGETHER), (pair,))
            return [store(total, const(0, f32)), loop, *finish(load(total), m, n)]

        return self.nest(extents, one)


def _half(value: Expr) -> Expr:
    """A number in bf16, as products take it."""
    return value if value.dtype == bf16 else cast(apply("flush", value), bf16)
