"""Where an access goes: from a buffer and indices to an offset and a step a lane, and a pointer.

    x[i, j + 3] of f32[8, 64] in `vector j in 0..16`   ->   offset i * 64 + 3, step 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....expr import INDEX, Const, Expr, Var
from ....expr.simplify import linear
from ....tile.nodes import Buffer
from ..text.scopes import memory_type
from .frame import Frame
from .index import Indices
from .place import Place, flat_place


@dataclass(frozen=True)
class Access:
    """An element of a buffer, or one for each lane.

    `offset` counts elements from the buffer's start, the vector axis's term apart; `step` is that
    term's factor, None where the offset depends on the lane in another way.
    """

    buffer: Buffer
    offset: Mapping[Expr | None, int]
    step: int | None
    in_range: bool


@dataclass
class Addresses:
    """Works out accesses at the point of the text that `frame` describes."""

    frame: Frame
    indices: Indices
    _places: dict[int, Place] = field(default_factory=dict)

    def pointer(self, access: Access) -> str:
        """The address of an access, of its first lane."""
        base = self.frame.pointers[access.buffer.name]
        return self.indices.pointer(base, memory_type(access.buffer.dtype), access.offset)

    def access(self, name: str, at: tuple[Expr, ...]) -> Access:
        """What an index of a buffer means here."""
        frame = self.frame
        name, at = frame.located(name, at)
        buffer = frame.buffers[name]
        place = self._place(buffer, at)
        in_range, terms = place.in_range, self._bound(place)
        if terms is None or not (in_range or frame.guard is None):
            # Constants say more than the limits of the axes that they stand for.
            place = flat_place(buffer, tuple(frame.resolve(part) for part in at), frame.bounds)
            in_range, terms = place.in_range, dict(place.terms)
        step: int | None = 0
        for term, factor in terms.items():
            if term is not None and frame.varies(term):
                only = frame.vector is not None and term == Var(INDEX, frame.vector.name)
                step = factor if only and step == 0 else None
        if step and frame.vector is not None:
            axis = frame.vector
            terms.pop(Var(INDEX, axis.name))
            terms[None] = terms.get(None, 0) + step * axis.start
        return Access(buffer, terms, step, in_range)

    def _place(self, buffer: Buffer, at: tuple[Expr, ...]) -> Place:
        """The position by the axes of all loops, unrolled ones too: worked out once."""
        limits = self.frame.bounds
        known = self._places.get(id(at))
        if known is None or known.buffer is not buffer or not known.holds(limits):
            known = flat_place(buffer, at, limits)
            self._places[id(at)] = known
        return known

    def _bound(self, place: Place) -> dict[Expr | None, int] | None:
        """The position with replaced variables put in; None where that needs simplifying."""
        terms: dict[Expr | None, int] = {None: 0}
        replaced = self.frame.replaced
        for term, factor in place.terms.items():
            if term is not None and not isinstance(term, Var):
                if not place.variables[term].isdisjoint(replaced):
                    return None
                value = None
            else:
                value = None if term is None else replaced.get(term.name)
            if value is None:
                terms[term] = terms.get(term, 0) + factor
            elif isinstance(value, Const):
                terms[None] += factor * int(value.value)
            else:  # simplified already
                for part, count in linear(value).items():
                    terms[part] = terms.get(part, 0) + factor * count
        return {term: factor for term, factor in terms.items() if factor}
