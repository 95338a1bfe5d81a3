"""Integer tensors whose elements are known while a model is read: numbers, or named sizes.

`Shape` of a tensor gives one, and the arithmetic that exporters put between `Shape` and `Reshape`
is done on them at once, so that it never becomes part of the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ... import ops
from ...errors import ParseError, UnsupportedError, check
from ...ir import ConstantData, Value, current_builder
from ...ops.base.extent import extent
from ...sizes import Dim, Quotient, Shape, Size, product
from ...types import Array, DType, bool_

# Larger tensors are data, not shapes.
MAX_KNOWN = 1024

# Exporters write huge numbers for "to the end"; no axis is that long.
FAR = 10**9


@dataclass(frozen=True, eq=False)
class Sizes:
    """A tensor of integers or bools; `entries` is an array of `int | Dim` objects."""

    entries: Array
    dtype: DType

    @staticmethod
    def of(entries: Sequence[Size], dtype: DType) -> Sizes:
        return Sizes(_objects(entries), dtype)

    @staticmethod
    def scalar(entry: Size, dtype: DType) -> Sizes:
        return Sizes(_objects([entry]).reshape(()), dtype)

    @staticmethod
    def known(array: Array, dtype: DType) -> Sizes:
        return Sizes(array.astype(object), dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.entries.shape

    def flat(self) -> tuple[Size, ...]:
        return tuple(self.entries.reshape(-1).tolist())

    def array(self) -> Array:
        """The numbers; `UnsupportedError` where one is only a named size."""
        for entry in self.flat():
            check(
                not isinstance(entry, Dim),
                f"the size {entry} must be a number here; import with shapes=",
                UnsupportedError,
            )
        return self.entries.astype(self.dtype.numpy)

    def reshaped(self, shape: Sequence[Size]) -> Sizes:
        sizes = tuple(number(entry, "a size") for entry in shape)
        count = math.prod(sizes)
        fits = count == self.entries.size and all(0 <= entry < FAR for entry in sizes)
        check(fits, f"{self.entries.size} elements in {sizes}", ParseError)
        return Sizes(self.entries.reshape(sizes), self.dtype)

    def with_entries(self, entries: Array) -> Sizes:
        return Sizes(entries, self.dtype)


Operand: TypeAlias = Value | Sizes


def _objects(entries: Sequence[Size]) -> Array:
    array = np.empty(len(entries), object)
    array[:] = entries
    return array


def as_value(operand: Operand) -> Value:
    """The tensor in the program, in which sizes may be known by name only."""
    if isinstance(operand, Value):
        return operand
    sizes = operand.flat()
    if any(isinstance(entry, Dim) for entry in sizes):
        numbers = [extent(entry, operand.dtype) for entry in sizes]
        return ops.reshape(ops.stack(numbers), operand.shape)
    return current_builder().table.lift(ConstantData.of(operand.array()))


def is_short(shape: Sequence[Size]) -> bool:
    """Whether a tensor of this shape is taken for sizes, not for data."""
    elements = product(shape)
    return isinstance(elements, int) and elements <= MAX_KNOWN


def elementwise(
    dtype: DType | None, fold: Callable[..., Size | None], *operands: Operand
) -> Sizes | None:
    """Apply to each element with broadcasting; None where an operand or a result is not known.

    The result has the element type of the operands, unless `dtype` is given.
    """
    known = [operand for operand in operands if isinstance(operand, Sizes)]
    if len(known) < len(operands):
        return None
    if not is_short(np.broadcast_shapes(*(operand.shape for operand in known))):
        return None
    entries = np.frompyfunc(fold, len(known), 1)(*(operand.entries for operand in known))
    result = Sizes(np.asarray(entries, object), dtype or known[-1].dtype)
    return result if all(_fits(entry, result.dtype) for entry in result.flat()) else None


def _fits(entry: Size | None, dtype: DType) -> bool:
    if entry is None or dtype == bool_ or isinstance(entry, Dim):
        return entry is not None
    limits = np.iinfo(dtype.numpy)
    return bool(limits.min <= entry <= limits.max)


# What is known of a size: every name stands for an integer that is not negative.


def lower_bound(size: Size) -> int | None:
    """A number that the size is never below, or None."""
    if isinstance(size, int):
        return size
    least = 0
    for atoms, factor in size.terms:
        if not all(_is_natural(atom) for atom in atoms) or (atoms and factor < 0):
            return None
        least += 0 if atoms else factor
    return least


def _is_natural(atom: str | Quotient) -> bool:
    if isinstance(atom, str):
        return True
    top, bottom = lower_bound(atom.numerator), lower_bound(atom.denominator)
    return top is not None and top >= 0 and bottom is not None and bottom >= 0


def compare(a: Size, b: Size) -> int | None:
    """The sign of `a - b` where it is the same for all sizes, else None."""
    difference = a - b
    if isinstance(difference, int):
        return (difference > 0) - (difference < 0)
    least, most = lower_bound(difference), lower_bound(-difference)
    if least is not None and least > 0:
        return 1
    return -1 if most is not None and most > 0 else None


# Scalar arithmetic for `elementwise`: None where the result depends on the sizes.


def equal(a: Size, b: Size) -> bool | None:
    """`a == b`; None where that depends on the named sizes."""
    sign = compare(a, b)
    return None if sign is None else sign == 0


def less(a: Size, b: Size) -> bool | None:
    """`a < b`; None where that depends on the named sizes."""
    # `a <= b` is enough to deny `b < a`, so bounds that may touch still decide.
    sign = compare(a, b)
    if sign is None:
        least = lower_bound(a - b)
        return False if least is not None and least >= 0 else None
    return sign < 0


def minimum(a: Size, b: Size) -> Size | None:
    """The smaller size; None where that depends on the named sizes."""
    below = less(a, b)
    if below is None:
        above = less(b, a)
        return None if above is None else (b if above else a)
    return a if below else b


def maximum(a: Size, b: Size) -> Size | None:
    """The larger size; None where that depends on the named sizes."""
    smaller = minimum(a, b)
    return None if smaller is None else a + b - smaller


def quotient(a: Size, b: Size) -> Size | None:
    """ONNX's integer division, which rounds to zero."""
    if isinstance(a, int) and isinstance(b, int):
        return None if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    top, bottom = lower_bound(a), lower_bound(b)
    if top is None or top < 0 or bottom is None or bottom < 0 or b == 0:
        return None
    return a // b


def select(condition: Size, then: Size, otherwise: Size) -> Size:
    """One of two sizes by a known truth value."""
    return then if condition else otherwise


def normal_axis(axis: int, rank: int) -> int:
    """An axis counted from the end as one from the front; `ParseError` where there is none."""
    check(-rank <= axis < rank, f"axis {axis} of a tensor of rank {rank}", ParseError)
    return axis % rank


def checked_shape(entries: Sequence[Size]) -> Shape:
    """Entries of a shape operand, none negative."""
    for entry in entries:
        check(compare(entry, 0) != -1, f"the size {entry} is negative", ParseError)
    return tuple(entries)


def number(size: Size, what: str) -> int:
    """A size as a number; `UnsupportedError` where it is only named."""
    check(
        isinstance(size, int),
        f"{what} is the size {size}, which must be a number; import with shapes=",
        UnsupportedError,
    )
    assert isinstance(size, int)
    return size


def reshape_target(shape: Shape, target: Sequence[Size], *, keep_zeros: bool) -> Shape:
    """The shape that `Reshape` means: 0 copies the input's size, -1 takes the rest."""
    sizes: list[Size] = []
    for axis, entry in enumerate(target):
        if entry == 0 and not keep_zeros:
            check(axis < len(shape), f"size 0 at axis {axis} has no input axis to copy", ParseError)
            entry = shape[axis]
        sizes.append(entry)
    check(sizes.count(-1) <= 1, f"the shape {sizes} has -1 more than once", ParseError)
    if -1 not in sizes:
        return tuple(sizes)
    free = sizes.index(-1)
    # Sizes found on both sides cancel, so that what is left divides where the model is right.
    have = [entry for entry in shape if entry != 1]
    want: list[Size] = []
    for entry in sizes:
        if entry in have:
            have.remove(entry)
        elif entry not in (-1, 1):
            want.append(entry)
    rest, known = _product(have), _product(want)
    check(known != 0 or rest == 0, f"{shape} does not reshape to {sizes}", ParseError)
    sizes[free] = 0 if known == 0 else rest // known
    return tuple(sizes)


def _product(sizes: Sequence[Size]) -> Size:
    total: Size = 1
    for entry in sizes:
        total = total * entry
    return total


@dataclass(frozen=True)
class Window:
    """The elements `start + i * step`, `i < size`, of an axis; the step may be negative."""

    start: Size
    size: Size
    step: int


def window(start: Size, end: Size, step: Size, extent: Size) -> Window:
    """What `Slice` takes of an axis: negative bounds count from the end, all are clamped.

    Where the extent is a named size, bounds that are not far out are taken to be inside it; if
    they are not, the slice's own type rule says so once the size is known.
    """
    by = number(step, "the step of a slice")
    check(by != 0, "a slice has the step 0", ParseError)
    low, high = (0, extent) if by > 0 else (-1, extent - 1)
    first, last = _clamp(start, extent, low, high), _clamp(end, extent, low, high)
    span = last - first if by > 0 else first - last
    if compare(span, 0) in (0, -1):
        return Window(0, 0, by)
    return Window(first, (span + (abs(by) - 1)) // abs(by), by)


def _clamp(bound: Size, extent: Size, low: Size, high: Size) -> Size:
    if isinstance(bound, int) and abs(bound) >= FAR:
        return high if bound > 0 else low
    place = bound + extent if compare(bound, 0) == -1 else bound
    for limit, pick in ((high, minimum), (low, maximum)):
        clamped = pick(place, limit)
        place = place if clamped is None else clamped
    return place
