"""The kernel of blocked attention: loops over batches and blocks of queries, a nest a stage.

    for b0: for s.block: {
      for d: for s: turned[d, s] = queries[b0, s.block * rows + s, d] * scale
      for t: for s: scores[t, s] = sum over d of keys[b0, t, d] * turned[d, s]
      for s: top[s] = max over t of scores[t, s];  for t: for s: scores[t, s] = exp(..);  ..
      for s: for e: out[b0, .., e] = (sum over t of scores[t, s] * values[b0, t, e]) / total[s]
    }
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ...expr import Expr, apply, const, index, select
from ...tile.nodes import Block, Buffer, Kernel, Stmt
from ...tile.tree import loops_over
from ..base.body import power_below
from .attention_loops import AttentionLoops, load, store


@dataclass
class AttentionKernel(AttentionLoops):
    """The kernel, a block of queries after the other."""

    def kernel(self, name: str) -> Kernel:
        """All of it, under this name."""
        body = self.in_blocks("s", self.result.shape[-2], self.sizes.rows, self.of_queries)
        axes = (axis.name for axis in self.batch)
        body = loops_over(zip(axes, self.result.shape[:-2], strict=True), body)
        given = [self.queries.buffer, self.keys.buffer, self.values.buffer]
        given += [self.mask.buffer] if self.mask else []
        out = self.result.buffer
        return Kernel(name, (*given, out), (out.name,), body, tuple(self.locals))

    def of_queries(self, first: Expr, rows: int) -> Block:
        """All that is done for a block of queries."""
        depth, keys = self.keys.shape[-1], self.keys.shape[-2]
        turned = self.local("turned", depth, rows)
        scale = const(self.sizes.scale, turned.dtype)
        copied = self.nest(
            {"d": depth, "s": rows},
            lambda d, s: [store(turned, self.queries.wide(self.batch, first + s, d) * scale, d, s)],
        )
        stages, columns = Queries(self, first, rows, turned), self.sizes.columns
        rest = stages.at_once(keys) if keys <= columns else stages.in_turn(keys, columns)
        return (copied, *rest)


@dataclass(frozen=True)
class Queries:
    """The stages of `rows` queries from `first` on, which lie `turned`, a column each."""

    within: AttentionLoops
    first: Expr
    rows: int
    turned: Buffer

    def at_once(self, keys: int) -> Block:
        """Softmax of all scores of a query."""
        local = self.within.local
        scores = local("scores", keys, self.rows)
        top, share = local("top", self.rows), local("share", self.rows)
        one = const(1, scores.dtype)

        def finished(total: Expr, s: Expr, e: Expr) -> list[Stmt]:
            value = self.result(total * load(share, s), load(share, s))
            return [self.within.stored(value, self.first + s, e)]

        return (
            self._scores(scores, index(0)),
            self.largest(scores, index(0), lambda most, s: [store(top, most, s)]),
            self.powers(scores, index(0), top),
            self.total(scores, lambda total, s: [store(share, one / total, s)]),
            self._products(scores, index(0), finished),
        )

    def in_turn(self, keys: int, columns: int) -> Block:
        """Running softmax: what is summed so far shrinks when a larger score is found."""
        make, rows = self.within, self.rows
        width = make.result.shape[-1]
        sums = make.local("sums", rows, width)
        top, shift, rate, total = (
            make.local(name, rows) for name in ("top", "shift", "rate", "total")
        )
        zero, lowest = const(0, sums.dtype), const(-math.inf, sums.dtype)

        def raised(most: Expr, s: Expr) -> list[Stmt]:
            most = apply("max", load(top, s), most)
            # As long as nothing is seen all powers are to be 0, not those of -inf less -inf.
            finite = select(most > lowest, most, zero)
            slower = power_below(load(top, s) - finite)
            return [store(shift, finite, s), store(rate, slower, s), store(top, most, s)]

        def added(sum_: Expr, s: Expr) -> list[Stmt]:
            return [store(total, load(total, s) * load(rate, s) + sum_, s)]

        def summed(sum_: Expr, s: Expr, e: Expr) -> list[Stmt]:
            return [store(sums, load(sums, s, e) * load(rate, s) + sum_, s, e)]

        def block(start: Expr, count: int) -> Block:
            scores = make.local("scores", count, rows)
            return (
                self._scores(scores, start),
                self.largest(scores, start, raised),
                self.powers(scores, start, shift),
                self.total(scores, added),
                self._products(scores, start, summed),
            )

        def finished(s: Expr, e: Expr) -> list[Stmt]:
            mean = self.result(load(sums, s, e) / load(total, s), load(total, s))
            return [make.stored(mean, self.first + s, e)]

        # Later blocks of keys are not seen by these queries.
        seen = (self.first + (rows - 1)) // columns + 1 if make.sizes.causal else None
        return (
            make.nest({"s": rows}, lambda s: [store(top, lowest, s), store(total, zero, s)]),
            make.nest({"s": rows, "e": width}, lambda s, e: [store(sums, zero, s, e)]),
            *make.in_blocks("t", keys, columns, block, count=seen),
            make.nest({"s": rows, "e": width}, finished),
        )

    def result(self, mean: Expr, total: Expr) -> Expr:
        """The mean of values, of a positive total of weights (NaN, or 0, where nothing is seen)."""
        zero = const(0, mean.dtype)
        return select(total > zero, mean, zero) if self.within.sizes.unseen_is_zero else mean

    # Nests

    def _scores(self, scores: Buffer, start: Expr) -> Stmt:
        """Scores of the keys from `start` on."""
        make = self.within
        count, depth = scores.shape[0], make.keys.shape[-1]

        def one(t: Expr, s: Expr) -> list[Stmt]:
            return make.reduced(
                "sum", "d", depth,
                lambda d: make.keys.wide(make.batch, start + t, d) * load(self.turned, d, s),
                lambda sum_: [store(scores, make.masked(sum_, start + t, self.first + s), t, s)],
            )

        return make.nest({"t": count, "s": self.rows}, one)

    def _seen(self, scores: Buffer, start: Expr, t: Expr, s: Expr) -> Expr:
        """A score, or -inf where the key comes after the query and the attention is causal.

        Chosen where it is read: at the end of the product all registers are in use, and stores
        of some lanes are slow.
        """
        score = load(scores, t, s)
        if not self.within.sizes.causal:
            return score
        return select(start + t <= self.first + s, score, const(-math.inf, score.dtype))

    def largest(
        self, scores: Buffer, start: Expr, finish: Callable[[Expr, Expr], list[Stmt]]
    ) -> Stmt:
        return self._joined("max", lambda t, s: self._seen(scores, start, t, s), scores, finish)

    def total(self, scores: Buffer, finish: Callable[[Expr, Expr], list[Stmt]]) -> Stmt:
        return self._joined("sum", lambda t, s: load(scores, t, s), scores, finish)

    def _joined(
        self,
        combiner: str,
        value: Callable[[Expr, Expr], Expr],
        scores: Buffer,
        finish: Callable[[Expr, Expr], list[Stmt]],
    ) -> Stmt:
        """What a combiner makes of the values of each query's scores."""
        make, keys = self.within, scores.shape[0]
        return make.nest(
            {"s": self.rows},
            lambda s: make.reduced(
                combiner, "t", keys, lambda t: value(t, s), lambda joined: finish(joined, s)
            ),
        )

    def powers(self, scores: Buffer, start: Expr, shift: Buffer) -> Stmt:
        """exp(scores - shift), in place."""

        def one(t: Expr, s: Expr) -> list[Stmt]:
            score = self._seen(scores, start, t, s)
            return [store(scores, power_below(score - load(shift, s)), t, s)]

        return self.within.nest({"t": scores.shape[0], "s": self.rows}, one)

    def _products(
        self, scores: Buffer, start: Expr, finish: Callable[[Expr, Expr, Expr], list[Stmt]]
    ) -> Stmt:
        """Sums of the values from `start` on, each times its score."""
        make = self.within

        def one(s: Expr, e: Expr) -> list[Stmt]:
            return make.reduced(
                "sum", "t", scores.shape[0],
                lambda t: load(scores, t, s) * make.values.wide(make.batch, start + t, e),
                lambda sum_: finish(sum_, s, e),
            )

        return make.nest({"s": self.rows, "e": make.result.shape[-1]}, one)
