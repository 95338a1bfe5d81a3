"""Scalar and index expressions in C++: elements of memory and registers, and conversions.

Indices are `int` where their limits prove that they fit, else `long long`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ....errors import UnsupportedError
from ....expr import (
    INDEX,
    Apply,
    Bounds,
    Cast,
    Const,
    Expr,
    Load,
    Var,
    bounds_of,
    has_loads,
    simplify,
    vars_of,
)
from ....expr.simplify import Linear, linear, linear_sum
from ....tile.nodes import Buffer, Space
from ....types import i32
from .c_names import (
    buffer_type,
    element_type,
    elements_of_register,
    is_in_registers,
    is_packed,
    literal,
    registers_of_lane,
    value_type,
)
from .flips import flipped
from .function_texts import INT, FunctionTexts
from .moves import Moves
from .operators import ATOM, EQUAL, PRODUCT, ROUNDINGS, UNARY, Text
from .quotients import joined_quotients


@dataclass(frozen=True)
class Expressions(FunctionTexts):
    """Writes expressions of one kernel: `names` are the C++ names of buffers, axes and values,
    `unrolled` the axes of loops that are written out, `moving` those of other loops and what
    depends on them."""

    buffers: Mapping[str, Buffer]
    names: Mapping[str, str]
    bounds: Bounds
    unrolled: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()
    moves: Moves = Moves()

    def text(self, expr: Expr) -> Text:
        match expr:
            case Const(value=value) if expr.dtype == INDEX:
                source = literal(value, INDEX)
                kind = "int" if abs(int(value)) <= INT else "long long"
                return Text(source, UNARY if source.startswith("-") else ATOM, kind)
            case Const(value=value, dtype=dtype):
                source = literal(value, dtype)
                return Text(source, UNARY if source[0] == "-" else ATOM, value_type(dtype))
            case Var(name=name) if expr.dtype == INDEX:
                return Text(self.names[name], ATOM, self.index_type(expr))
            case Var(name=name, dtype=dtype):
                return Text(self.names[name], ATOM, value_type(dtype))
            case Load():
                return self._load(expr)
            case Cast():
                return self._cast(expr)
            case Apply(function="select", args=(condition, then, otherwise)):
                return self.select(condition, then, otherwise)
            case Apply():
                return self.apply(expr)
        raise UnsupportedError(f"the CUDA backend has no {type(expr).__name__} in a kernel")

    # Memory

    def place(self, name: str, indices: Sequence[Expr], *, from_afar: bool = False) -> str:
        """An element of a buffer in memory, as what C++ can assign to; `from_afar` its address is
        found in two steps."""
        buffer = self.buffers[name]
        own = self.names[name]
        if buffer.space is Space.REGISTER and buffer.elements == 1:
            return own
        if buffer.space is Space.FRAGMENT:
            if registers_of_lane(buffer) == 1:
                return own
            return f"{own}[{self._sum(_own_registers(buffer, indices))}]"
        terms = self._terms(buffer, indices)
        if buffer.space is Space.GLOBAL:
            own, terms = self._from_one_place(own, terms)
            if from_afar:
                own, terms = self._from_a_steady_place(own, terms)
        return f"{own}[{self._place(terms)}]"

    def element(self, name: str, indices: Sequence[Expr]) -> str:
        """The number of an element of a buffer in memory."""
        return self._place(self._terms(self.buffers[name], indices))

    def _terms(self, buffer: Buffer, indices: Sequence[Expr]) -> Linear:
        at = tuple(indices)
        if buffer.layout is not None:
            at = tuple(simplify(part, self.bounds) for part in buffer.layout.apply(at))
        return joined_quotients(linear_sum(zip(at, buffer.strides, strict=True)))

    def _place(self, terms: Linear) -> str:
        """A sum, of which bits that loops written out flip come last."""
        found = flipped(terms, self.bounds, self._is_unrolled)
        if found is None:
            return self._sum(terms)
        text = f"{self._sum(found.base)} ^ {self._sum(found.flips)}"
        return f"{self._sum(found.near)} + ({text})" if found.near else text

    def _from_one_place(self, own: str, terms: Linear) -> tuple[str, Linear]:
        """What unrolled loops touch as neighbours of one place, at distances that are constants, so
        that one address is enough for all: `(&x[row * 100])[e * 10]`."""
        near = {
            term: factor
            for term, factor in terms.items()
            if term is None or self._is_unrolled(term)
        }
        far = {term: factor for term, factor in terms.items() if term not in near}
        if not far or not any(near):
            return own, terms
        return f"(&{own}[{self._sum(far)}])", near

    def _from_a_steady_place(self, own: str, terms: Linear) -> tuple[str, Linear]:
        """What loops leave where it is apart from how they move on by several terms, so that its
        address is found once: `(&x[row * 100])[tap * 50 + step % 4 * 16]`. By one term a compiler
        adds to the address, which takes fewer registers."""
        moving: dict[Expr | None, int] = {
            term: factor
            for term, factor in terms.items()
            if term is not None and (vars_of(term) & self.moving or has_loads(term))
        }
        steady = {term: factor for term, factor in terms.items() if term not in moving}
        if len(moving) < 2 or not any(steady):
            return own, terms
        return f"(&{own}[{self._sum(steady)}])", moving

    def _is_unrolled(self, term: Expr) -> bool:
        """Whether an index is a constant where loops are written out."""
        return vars_of(term) <= self.unrolled and not has_loads(term)

    def _sum(self, terms: Mapping[Expr | None, int]) -> str:
        """A sum of multiples, the largest first, as a person would write it."""
        parts: list[tuple[bool, str]] = []
        constant = terms.get(None, 0)
        ordered = sorted(
            ((term, factor) for term, factor in terms.items() if term is not None),
            key=lambda entry: -abs(entry[1]),
        )
        wide = sum(
            abs(factor) * max(map(abs, bounds_of(term, self.bounds))) for term, factor in ordered
        ) + abs(constant) > INT
        for term, factor in ordered:
            text = self.text(term)
            source = text.within(PRODUCT)
            if wide and text.type == "int":
                source = f"(long long){text.within(UNARY)}"
            parts.append((factor < 0, source if abs(factor) == 1 else f"{source} * {abs(factor)}"))
        if constant or not parts:
            parts.append((constant < 0, str(abs(constant))))
        first = ("-" if parts[0][0] else "") + parts[0][1]
        return first + "".join(f" {'-' if minus else '+'} {part}" for minus, part in parts[1:])

    def _load(self, load: Load) -> Text:
        place, buffer = self.place(load.buffer, load.indices), self.buffers[load.buffer]
        if is_packed(buffer):
            place = self._unpacked(place, buffer, load.indices[-1])
        elif is_in_registers(buffer):
            return Text(place, ATOM, value_type(load.dtype))
        if load.dtype.kind == "b":
            return Text(f"{place} != 0", EQUAL, "bool")
        if load.dtype.name in ROUNDINGS:
            return Text(f"{load.dtype.name}_value({place})", ATOM, "float")
        return Text(place, ATOM, value_type(load.dtype))

    def _unpacked(self, register: str, buffer: Buffer, last: Expr) -> str:
        """One of the elements that lie side by side in a register."""
        per = elements_of_register(buffer)
        shift = self._sum(linear(simplify(last % per, self.bounds) * (8 * buffer.dtype.bytes)))
        moved = register if shift == "0" else f"({register} >> {shift})"
        return f"({element_type(buffer.dtype)}){moved}"

    def holds_bits(self, buffer: Buffer) -> bool:
        """Whether narrow floats are in a buffer as they are in memory."""
        return not is_in_registers(buffer) or buffer.name in self.moves.bits

    def buffer_type(self, buffer: Buffer) -> str:
        """The C++ type of a buffer's elements."""
        own = buffer.name in self.moves.bits
        return element_type(buffer.dtype) if own else buffer_type(buffer)

    def stored(self, value: Expr, buffer: Buffer) -> str:
        """A value as it is assigned to an element of a buffer; what is rounded on its way to memory
        need not be rounded before, and what is only moved not at all."""
        text, narrow = self.text(value), buffer.dtype.name in ROUNDINGS
        if is_packed(buffer):
            raise UnsupportedError(f"'{buffer.name}' is written a whole register at a time")
        if narrow and self.holds_bits(buffer):
            match value:
                case Load() if self.holds_bits(self.buffers[value.buffer]):
                    return self.place(value.buffer, value.indices)
            return f"{buffer.dtype.name}_bits({text.unrounded or text.source})"
        if narrow and buffer.name in self.moves.stored:
            return text.unrounded or text.source
        return text.source

    # Conversions

    def _cast(self, cast: Cast) -> Text:
        value, dtype = cast.value, cast.dtype
        inner = self.text(value)
        kind = value_type(dtype)
        if dtype.kind == "b":
            return Text(f"{inner.within(EQUAL + 1)} != 0", EQUAL, kind)
        if dtype.name in ROUNDINGS:
            if value.dtype.kind == "b" or value.dtype.is_integer:
                inner = Text(f"(double){inner.within(UNARY)}", UNARY, "double")
            return inner.rounded(dtype)
        if dtype.is_integer and value.dtype.is_float:
            limits = np.iinfo(dtype.numpy)
            ends = f"{literal(limits.min, dtype)}, {literal(limits.max, dtype)}"
            return Text(f"saturated<{kind}>({inner.source}, {ends})", ATOM, kind)
        if dtype == INDEX and value.dtype.is_integer and value.dtype.bits <= i32.bits:
            return Text(inner.source, inner.binds, "int")
        if inner.type == kind:  # as of a narrow float that was read
            return inner
        return Text(f"({kind}){inner.within(UNARY)}", UNARY, kind)


def _own_registers(buffer: Buffer, indices: Sequence[Expr]) -> Mapping[Expr | None, int]:
    """The register of an element among those of its lane, which is the one that asks."""
    shape = (*buffer.shape[:-2], buffer.shape[-1] // elements_of_register(buffer))
    at = (*indices[:-2], indices[-1] // elements_of_register(buffer))
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return linear_sum(zip(at, strides, strict=True))
