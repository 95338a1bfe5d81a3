"""Sizes of tensors: integers, and what is known by name only, in a normal form.

Sizes that are found on different ways compare equal, and arithmetic that ends in a number gives
one: `(2 * n + 4) // 2 - n` is 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from .errors import TypeRuleError, check

# Far above what a network's sizes are: squaring one twenty times must not fill the memory.
_MOST_FACTORS = 64
_MOST_TERMS = 1024


@dataclass(frozen=True)
class Dim:
    """A size known by name only: a sum of products of atoms, in a normal form.

    `terms` maps each product (a sorted tuple of atoms) to its integer factor; an atom is a name
    or a quotient. Arithmetic that ends in a constant gives a Python `int`, never a `Dim`.
    """

    terms: tuple[tuple[tuple[Atom, ...], int], ...]

    @staticmethod
    def named(name: str) -> Dim:
        """The size of this name, an identifier; `TypeRuleError` for another."""
        advice = "; a multiple of a size is written 2 * ml.Dim.named('n')"
        message = f"the size name {name!r} is not an identifier"
        check(name.isidentifier(), f"{message}{advice if set(name) & set('*+-/ ') else ''}")
        return Dim((((name,), 1),))

    @staticmethod
    def _make(terms: Mapping[tuple[Atom, ...], int]) -> Size:
        kept = {atoms: factor for atoms, factor in terms.items() if factor}
        if not kept:
            return 0
        if set(kept) == {()}:
            return kept[()]
        check(len(kept) <= _MOST_TERMS, f"a size is a sum of more than {_MOST_TERMS} terms")
        return Dim(tuple(sorted(kept.items(), key=lambda term: (str(term[0]), term[1]))))

    @staticmethod
    def _terms(value: Size) -> Mapping[tuple[Atom, ...], int]:
        return dict(value.terms) if isinstance(value, Dim) else {(): value}

    def __add__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        total = dict(self.terms)
        for atoms, factor in Dim._terms(other).items():
            total[atoms] = total.get(atoms, 0) + factor
        return Dim._make(total)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        return self + (other * -1)

    def __rsub__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        return (self * -1) + other

    def __mul__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        product: dict[tuple[Atom, ...], int] = {}
        factors = Dim._terms(other)
        few = len(self.terms) * len(factors) <= _MOST_TERMS
        check(few, f"a size is a product of sums that has more than {_MOST_TERMS} terms")
        for left, a in self.terms:
            for right, b in factors.items():
                small = len(left) + len(right) <= _MOST_FACTORS
                check(small, f"a size is a product of more than {_MOST_FACTORS} factors")
                atoms = tuple(sorted(left + right, key=str))
                product[atoms] = product.get(atoms, 0) + a * b
        return Dim._make(product)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        if isinstance(other, int):
            check(other != 0, f"the size {self} is divided by zero")
            return self._divide_by_number(other)
        if self == other:
            return 1
        exact = self._divide_exactly(other)
        return Dim((((Quotient(self, other),), 1),)) if exact is None else exact

    def __rfloordiv__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        return Dim((((Quotient(other, self),), 1),))

    def _with_tensor(self, other: object) -> Size:
        """The answer of arithmetic with what is no size: a tensor takes this as a number."""
        if isinstance(other, (int, float)):
            raise TypeRuleError(
                f"the size {self} is known by name only: compute with it beside a tensor, as in "
                f"x / {self}, or make it one, as in ml.full((), {self})"
            )
        # Python's sign that the other operand is to be asked, which has no type of its own.
        other_side: Size = cast(Any, NotImplemented)
        return other_side

    def _no_integer(self, other: float) -> Size:
        return self._with_tensor(other)

    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _no_integer

    def __float__(self) -> float:
        return float(self._with_tensor(1.0))

    def __mod__(self, other: Size) -> Size:
        if not _is_size(other):
            return self._with_tensor(other)
        return self - (self // other) * other

    def _divide_by_number(self, by: int) -> Size:
        """Multiples of the number leave the floor division: `(8n + m + 5) // 4` is
        `2n + 1 + (m + 1) // 4`; and a quotient of a quotient is one: `(n//2 + 1) // 2` is
        `(n + 2) // 4`. So sizes found on different ways compare equal."""
        whole: dict[tuple[Atom, ...], int] = {}
        rest: dict[tuple[Atom, ...], int] = {}
        for atoms, factor in self.terms:
            if factor % by == 0:
                whole[atoms] = factor // by
            elif not atoms:
                whole[atoms], rest[atoms] = divmod(factor, by)
            else:
                rest[atoms] = factor
        left, multiple = Dim._make(rest), Dim._make(whole)
        if isinstance(left, int):
            return left // by + multiple
        inner = left - rest.get((), 0)
        match inner:
            case Dim(terms=(((Quotient(numerator=top, denominator=int(bottom)),), 1),)) if (
                bottom > 0 and by > 0
            ):
                return (top + rest.get((), 0) * bottom) // (bottom * by) + multiple
        return Dim((((Quotient(left, by),), 1),)) + multiple

    def _divide_exactly(self, other: Dim) -> Size | None:
        if len(other.terms) != 1:
            return None
        atoms, by = other.terms[0]
        quotient: dict[tuple[Atom, ...], int] = {}
        for left, factor in self.terms:
            rest = list(left)
            for atom in atoms:
                if atom not in rest:
                    return None
                rest.remove(atom)
            if factor % by:
                return None
            quotient[tuple(rest)] = factor // by
        return Dim._make(quotient)

    def __index__(self) -> int:
        raise TypeRuleError(
            f"the size {self} is known by name only: it is no number to count to or to index by; "
            "ml.scan loops over an axis, ml.arange counts along it"
        )

    def _compared(self, other: object) -> bool:
        message = f"it is not known whether it is more or less than {other}"
        raise TypeRuleError(f"the size {self} is known by name only: {message}")

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    @property
    def names(self) -> frozenset[str]:
        """The named sizes it depends on."""
        found: set[str] = set()
        for atoms, _ in self.terms:
            for atom in atoms:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= names_of(atom.numerator) | names_of(atom.denominator)
        return frozenset(found)

    def substitute(self, sizes: Mapping[str, Size]) -> Size:
        """The size with the names in `sizes` replaced."""
        total: Size = 0
        for atoms, factor in self.terms:
            product: Size = factor
            for atom in atoms:
                if isinstance(atom, str):
                    product = product * sizes.get(atom, Dim.named(atom))
                else:
                    top = substitute(atom.numerator, sizes)
                    product = product * (top // substitute(atom.denominator, sizes))
            total = total + product
        return total

    def __str__(self) -> str:
        text = ""
        for atoms, factor in self.terms:
            sign = "-" if factor < 0 else "+" if text else ""
            digits = [str(abs(factor))] if abs(factor) != 1 or not atoms else []
            text += sign + "*".join(digits + [str(atom) for atom in atoms])
        return text


@dataclass(frozen=True)
class Quotient:
    """An atom of a `Dim`: a floor division that does not come out."""

    numerator: Size
    denominator: Size

    def __str__(self) -> str:
        return f"(({self.numerator})/({self.denominator}))"


def _is_size(value: object) -> bool:
    """What a size is computed with; with a tensor it is a number of the tensor's type."""
    return isinstance(value, (int, np.integer, Dim))


Atom: TypeAlias = str | Quotient
Size: TypeAlias = int | Dim
Shape: TypeAlias = tuple[Size, ...]


def size(value: int | str | Dim) -> Size:
    """A size from what a user writes: a number, a name, or a size."""
    if isinstance(value, str):
        return Dim.named(value)
    if isinstance(value, Dim):
        return value
    check(
        isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0,
        f"a size is a non-negative integer or a name, not {value!r}",
    )
    return int(value)


def names_of(value: Size) -> frozenset[str]:
    """The named sizes that a size depends on."""
    return value.names if isinstance(value, Dim) else frozenset()


def substitute(value: Size, sizes: Mapping[str, Size]) -> Size:
    """A size with the names in `sizes` replaced."""
    return value.substitute(sizes) if isinstance(value, Dim) else value


def product(sizes: Iterable[Size]) -> Size:
    """All sizes multiplied; 1 where there is none."""
    total: Size = 1
    for entry in sizes:
        total = total * entry
    return total


def ceil_div(value: Size, by: int) -> Size:
    """The quotient, rounded up."""
    return (value + (by - 1)) // by


def round_up(value: int, step: int) -> int:
    """The next multiple of `step`, or the value if it is one."""
    return -(-value // step) * step


def static(shape: Sequence[Size]) -> tuple[int, ...]:
    """The sizes as integers; `TypeRuleError` where one is only a name."""
    sizes = tuple([entry for entry in shape if isinstance(entry, int)])
    if len(sizes) != len(shape):
        named = next(entry for entry in shape if not isinstance(entry, int))
        check(False, f"the size {named} is not known; give it a value first")
    return sizes
