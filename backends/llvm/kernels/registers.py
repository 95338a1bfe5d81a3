"""REGISTER buffers as SSA values: each element, or each vector of elements, is one name.

A buffer that vector loops access in whole vectors is kept in units of that many lanes, so that an
accumulator tile is a handful of vector registers; other accesses take lanes out or put them in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import gcd
from typing import TypeAlias

from ....errors import VerifyError
from ....tile.nodes import Buffer
from ..scalars.rules import Scalars
from ..text.scopes import ScopedText, Value, register_type

# A buffer and the number of a unit in it.
Key: TypeAlias = tuple[str, int]


@dataclass
class Registers:
    """The names that hold the units of register buffers at this point of the text."""

    out: ScopedText
    scalars: Scalars
    buffers: Mapping[str, Buffer]
    units: Mapping[str, int]  # lanes in a unit, by buffer
    names: dict[Key, str] = field(default_factory=dict)

    def unit(self, key: Key) -> Value:
        """A unit's value; poison while nothing was written."""
        buffer = self.buffers[key[0]]
        return Value(self.names.get(key, "poison"), buffer.dtype, self.units[key[0]])

    def keys(self, buffer: str, elements: range) -> tuple[Key, ...]:
        """The units that hold these elements."""
        lanes = self.units[buffer]
        numbers: Iterable[int]
        if elements.step == 1:
            numbers = range(elements[0] // lanes, elements[-1] // lanes + 1)
        else:
            numbers = dict.fromkeys(element // lanes for element in elements)
        return tuple((buffer, number) for number in numbers)

    def read(self, buffer: str, elements: range) -> Value:
        """The elements as one value, of as many lanes."""
        self._check(buffer, elements)
        if self._is_column(buffer, elements):
            return self._column(buffer, elements)
        if not self._whole(buffer, elements):
            lanes = [self._element(buffer, element) for element in elements]
            return lanes[0] if len(lanes) == 1 else self._gathered(lanes)
        parts = [self.unit(key) for key in self.keys(buffer, elements)]
        total = parts[0]
        while len(parts) > 1:  # pairs, so that two halves make a whole
            even = parts[:-1] if len(parts) % 2 else parts
            joined = [self._joined(even[i], even[i + 1]) for i in range(0, len(even), 2)]
            if len(parts) % 2:
                joined[-1] = self._joined(joined[-1], parts[-1])
            parts = joined
            total = parts[0]
        return total

    def write(self, buffer: str, elements: range, value: Value) -> None:
        """Put a value of as many lanes as there are elements."""
        self._check(buffer, elements)
        size = self.units[buffer]
        if not self._whole(buffer, elements):
            for lane, element in enumerate(elements):
                self._put(buffer, element, self.scalars.lane(value, lane))
            return
        for part, key in enumerate(self.keys(buffer, elements)):
            if value.lanes == size:
                self.names[key] = value.name
            elif size == 1:
                self.names[key] = self.scalars.lane(value, part).name
            else:
                lanes = ", ".join(f"i32 {part * size + lane}" for lane in range(size))
                self.names[key] = self._shuffled(value, value, size, lanes)

    def _whole(self, buffer: str, elements: range) -> bool:
        size = self.units[buffer]
        aligned = elements.start % size == 0 and len(elements) % size == 0
        return aligned and (elements.step == 1 or len(elements) == 1)

    def _is_column(self, buffer: str, elements: range) -> bool:
        """Whether elements are those of one lane in as many units as a unit has lanes."""
        size = self.units[buffer]
        square = len(elements) == size > 1 and elements.step % size == 0
        return square and size & (size - 1) == 0

    def _column(self, buffer: str, elements: range) -> Value:
        """One lane of each of `size` units, by exchanging ever smaller blocks of the square:

        with `d` from half the size down to 1, rows r and r + d, where r has no d in it, become
        the lanes of both without d in them, and those with d. (Eklundh, 1972.) What columns share
        is written once.
        """
        size = self.units[buffer]
        first, lane = divmod(elements.start, size)
        units = [self.unit((buffer, first + row * elements.step // size)) for row in range(size)]

        def exchanged(distance: int, row: int) -> Value:
            if distance == size:
                return units[row]
            a = exchanged(2 * distance, row & ~distance)
            b = exchanged(2 * distance, row | distance)
            shift = distance if row & distance else 0
            lanes = ", ".join(
                f"i32 {place - distance + shift + size if place & distance else place + shift}"
                for place in range(size)
            )
            return Value(self._shuffled(a, b, size, lanes), a.dtype, size)

        return exchanged(1, lane)

    def _check(self, buffer: str, elements: range) -> None:
        ends = (elements[0], elements[-1])
        if min(ends) < 0 or max(ends) >= self.buffers[buffer].elements:
            raise VerifyError(f"an index of the register buffer '{buffer}' is out of range")

    def _element(self, buffer: str, element: int) -> Value:
        number, lane = divmod(element, self.units[buffer])
        return self.scalars.lane(self.unit((buffer, number)), lane)

    def _put(self, buffer: str, element: int, value: Value) -> None:
        number, lane = divmod(element, self.units[buffer])
        unit = self.unit((buffer, number))
        if unit.lanes == 1:
            self.names[(buffer, number)] = value.name
        else:
            text = f"insertelement {unit}, {value}, i32 {lane}"
            self.names[(buffer, number)] = self.out.define(text)

    def _gathered(self, lanes: list[Value]) -> Value:
        return gathered(self.out, lanes)

    def _joined(self, a: Value, b: Value) -> Value:
        """The lanes of `a`, then those of `b`, which has as many or fewer."""
        count = a.lanes + b.lanes
        if b.lanes == a.lanes:
            lanes = ", ".join(f"i32 {lane}" for lane in range(count))
            return Value(self._shuffled(a, b, count, lanes), a.dtype, count)
        return self._gathered([self.scalars.lane(v, i) for v in (a, b) for i in range(v.lanes)])

    def _shuffled(self, a: Value, b: Value, count: int, lanes: str) -> str:
        if a.lanes == 1:
            return self._gathered([a, b]).name
        return self.out.define(f"shufflevector {a}, {b}, <{count} x i32> <{lanes}>")


def gathered(out: ScopedText, lanes: list[Value]) -> Value:
    """A vector of scalars."""
    kind = register_type(lanes[0].dtype, len(lanes))
    total = "poison"
    for lane, value in enumerate(lanes):
        total = out.define(f"insertelement {kind} {total}, {value}, i32 {lane}")
    return Value(total, lanes[0].dtype, len(lanes))


def unit_lanes(lanes: int, multiples: Iterable[int]) -> int:
    """The largest unit that divides a vector access and every step of its start."""
    return gcd(lanes, *multiples)
