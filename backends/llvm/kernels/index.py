"""Index arithmetic: sums of factor * term, each term added in the outermost loop that knows it.

`a[i, k + 3]` with 64 columns in loops i, k becomes: at i, `p0 = a + i*64`; at k, `p1 = p0 + k`;
in place, `p1 + 3`, a constant displacement. Unrolled accesses share all but the displacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from ....expr import INDEX, Expr, Var, has_loads
from ..text.scopes import Value, literal
from .frame import Frame

Terms: TypeAlias = Mapping[Expr | None, int]


@dataclass(frozen=True)
class Indices:
    """Emits sums of terms. `atom` evaluates a term that is not itself a sum."""

    frame: Frame
    atom: Callable[[Expr], Value]

    def scalar(self, terms: Terms) -> Value:
        """A sum that is the same in all lanes."""
        total: Value | None = None
        for depth, group in self._by_depth(terms):
            with self._at(depth):
                total = self._sum(group, total)
        return self._plus(total, terms.get(None, 0))

    def vector(self, terms: Terms) -> Value:
        """A sum that differs by lane."""
        axis = self.frame.vector
        assert axis is not None
        scalars = self.frame.scalars
        uniform = {t: f for t, f in terms.items() if t is None or not self.frame.varies(t)}
        step = terms.get(Var(INDEX, axis.name), 0)
        base = uniform.pop(None, 0) + step * axis.start
        total = self.lane_numbers(base, step)
        if uniform:
            part = scalars.spread(self.scalar(uniform), axis.lanes)
            total = scalars.binary("add", part, total)
        for term, factor in terms.items():
            own = term is None or term in uniform or term == Var(INDEX, axis.name)
            if term is not None and not own:
                part = scalars.spread(self.atom(term), axis.lanes)
                if factor != 1:
                    part = scalars.binary("mul", part, literal(factor, INDEX, axis.lanes))
                total = scalars.binary("add", total, part)
        return total

    def lane_numbers(self, base: int, step: int) -> Value:
        """The literal `<base, base + step, ...>`."""
        axis = self.frame.vector
        assert axis is not None
        if step == 0:
            return literal(base, INDEX, axis.lanes)
        numbers = ", ".join(f"i64 {base + step * lane}" for lane in range(axis.lanes))
        return Value(f"<{numbers}>", INDEX, axis.lanes)

    def pointer(self, base: str, element: str, terms: Terms) -> str:
        """The address of the element at a sum that is the same in all lanes."""
        pointer = base
        for depth, group in self._by_depth(terms):
            with self._at(depth):
                offset = self._sum(group, None)
                text = f"getelementptr {element}, ptr {pointer}, {offset}"
                pointer = self.frame.out.define(text)
        constant = terms.get(None, 0)
        if not constant:
            return pointer
        return self.frame.out.define(f"getelementptr {element}, ptr {pointer}, i64 {constant}")

    def _by_depth(self, terms: Terms) -> Iterator[tuple[int | None, list[tuple[Expr, int]]]]:
        """Groups of terms, the outermost first; None for what is only known in place."""
        groups: dict[int | None, list[tuple[Expr, int]]] = {}
        for term, factor in terms.items():
            if term is not None:
                depth = None if has_loads(term) else self.frame.depth_of(term)
                groups.setdefault(depth, []).append((term, factor))
        last = self.frame.out.depth + 1
        for depth in sorted(groups, key=lambda depth: last if depth is None else depth):
            yield depth, groups[depth]

    def _at(self, depth: int | None) -> AbstractContextManager[None]:
        return nullcontext() if depth is None else self.frame.out.hoisted(depth)

    def _sum(self, group: list[tuple[Expr, int]], total: Value | None) -> Value:
        scalars = self.frame.scalars
        for term, factor in group:
            part = self.atom(term)
            if factor != 1:
                part = scalars.binary("mul", part, literal(factor, INDEX))
            total = part if total is None else scalars.binary("add", total, part)
        assert total is not None
        return total

    def _plus(self, total: Value | None, constant: int) -> Value:
        if total is None:
            return literal(constant, INDEX)
        if constant == 0:
            return total
        return self.frame.scalars.binary("add", total, literal(constant, INDEX))
