"""Where nested loops stand at a position among all their iterations: at a row of a tile, or at the
terms of a step.

    position 75 of i in 0..4, j in 0..56   ->   i = 75 // 56, j = 75 % 56
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....expr import Expr
from .....tile.nodes import Let, Loop
from .....tile.tree import Names, extent_of, var
from ..grid import axes_at


@dataclass(frozen=True)
class Standing:
    """Where nested loops stand: their position among all iterations, and each axis; which of these
    stand `still` while threads are at different positions."""

    position: Expr
    lets: tuple[Let, ...]
    axes: dict[str, Expr]
    still: frozenset[str] = frozenset()

    @staticmethod
    def at(loops: Sequence[Loop], position: Expr, name: str, names: Names) -> Standing:
        """The axes at a position. That of a single loop is a sum as it stands, so that one address
        is found for all that lies at constant distances; of several each has a name."""
        if len(loops) == 1:
            (let,) = axes_at(loops, position)
            return Standing(position, (), {let.name: let.value})
        own = names.fresh(name, "$")
        lets: list[Let] = [Let(own, position)]
        axes: dict[str, Expr] = {}
        for let in axes_at(loops, var(own)):
            inner = names.fresh(let.name, "$")
            lets.append(Let(inner, let.value))
            axes[let.name] = var(inner)
        return Standing(var(own), tuple(lets), axes)

    @staticmethod
    def in_step(
        loops: Sequence[Loop], step: Expr, size: int, place: Expr, name: str, names: Names
    ) -> Standing:
        """The axes at a place in a step of so many positions. Where the outer loops stand still in
        each step they are the same for all threads: the tap of a convolution."""
        *outer, inner = loops
        position = step * size + place
        if not outer or extent_of(inner) % size:
            return Standing.at(loops, position, name, names)
        steps = extent_of(inner) // size
        own = names.fresh(f"{name}.step", "$")
        taps: dict[str, Expr] = {}
        per = steps
        for loop in reversed(outer):
            count = extent_of(loop)
            within = var(own) if loop is outer[0] else var(own) % (per * count)
            taps[loop.axis] = loop.start + within // per
            per *= count
        axes = {inner.axis: inner.start + var(own) % steps * size + place, **taps}
        return Standing(position, (Let(own, step),), axes, frozenset(taps))
