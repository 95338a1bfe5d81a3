"""Sums of products by the names of their axes, as NumPy and torch write them: `einsum`.

    einsum("bij,bkj->bik", x, y)    ->   transposes, a batched matrix product, a transpose
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import check
from ...ir import Operand, Value
from ...sizes import Size, product
from ..base.broadcast import broadcast, shape_text
from ..base.promote import as_values, check_same_dtype
from ..elementwise.arithmetic import multiply
from ..reductions.reduce import sum as sum_
from ..shapes.shape import reshape, transpose
from .matmul import matmul

# Axes that "..." stands for are named by numbers, from the last one on.
Label = str | int


@dataclass(frozen=True)
class Labelled:
    """A value with the names of its axes, each one once."""

    value: Value
    labels: tuple[Label, ...]

    def size(self, label: Label) -> Size:
        return self.value.shape[self.labels.index(label)]

    def ordered(self, labels: Sequence[Label]) -> Value:
        """The value with its axes in this order."""
        perm = tuple(map(self.labels.index, labels))
        return self.value if perm == tuple(range(len(perm))) else transpose(self.value, perm)

    def keeping(self, needed: frozenset[Label]) -> Labelled:
        """The value summed over all other axes."""
        axes = tuple(at for at, label in enumerate(self.labels) if label not in needed)
        if not axes:
            return self
        kept = tuple(label for label in self.labels if label in needed)
        return Labelled(sum_(self.value, axes), kept)


def einsum(equation: str, *operands: Operand) -> Value:
    """The sum of products of the operands that an equation such as `"bij,bjk->bik"` names.

    Axes of one letter have one size (or 1); letters that the result does not have are summed over,
    one that an operand has twice is its diagonal, and `...` stands for any further axes, which are
    broadcast. Without `->` the result has the letters that occur once, in alphabetical order.
    Operands are joined from the left, two at a time, by matrix products.
    """
    values = as_values(*operands)
    terms, result = _parsed(equation, values)
    check_same_dtype(*values)
    parts = [_labelled(value, labels) for value, labels in zip(values, terms, strict=True)]
    parts = _of_one_size(parts, equation)
    total = parts[0]
    for at in range(1, len(parts)):
        later = frozenset(result).union(*(part.labels for part in parts[at + 1 :]))
        total = _joined(total, parts[at], later)
    return total.keeping(frozenset(result)).ordered(result)


def _parsed(
    equation: str, values: Sequence[Value]
) -> tuple[list[tuple[Label, ...]], tuple[Label, ...]]:
    """The names of each operand's axes, and those of the result."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    check(
        len(texts) == len(values),
        f"einsum of '{equation}' takes {len(texts)} operands, got {len(values)}",
    )
    terms = [
        _labels(text, value.rank, equation, f"operand {at}, {shape_text(value.shape)},")
        for at, (text, value) in enumerate(zip(texts, values, strict=True))
    ]
    found = [label for term in terms for label in term]
    further: list[Label] = sorted({label for label in found if isinstance(label, int)})
    if not arrow:
        once = sorted({label for label in found if isinstance(label, str)})
        return terms, (*further, *(label for label in once if found.count(label) == 1))
    letters = len(right.replace("...", ""))
    count = len(further) if "..." in right else 0
    result = _labels(right, letters + count, equation, "the result")
    for label in result:
        check(label in found, f"einsum of '{equation}': no operand has the axis '{label}'")
        check(result.count(label) == 1, f"einsum of '{equation}': the result has '{label}' twice")
    return terms, result


def _labels(text: str, rank: int, equation: str, what: str) -> tuple[Label, ...]:
    before, dots, after = text.partition("...")
    named = before + after
    good = all(letter.isalpha() for letter in named)
    check(good, f"einsum of '{equation}': '{text}' is not letters and at most one '...'")
    count = rank - len(named)
    fits = count >= 0 if dots else count == 0
    check(fits, f"einsum of '{equation}': {what} has {rank} axes, '{text}' names {len(named)}")
    return (*before, *range(-count, 0), *after)


def _labelled(value: Value, labels: tuple[Label, ...]) -> Labelled:
    """The operand with each name once: axes of the same name become their diagonal."""
    for at, label in enumerate(labels):
        if label in labels[:at]:
            first = labels.index(label)
            others = [axis for axis in range(value.rank) if axis not in (first, at)]
            rows, columns = value.shape[first], value.shape[at]
            check(rows == columns, f"einsum: the axes '{label}' have sizes {rows} and {columns}")
            shape = tuple(value.shape[axis] for axis in others)
            flat = reshape(transpose(value, (*others, first, at)), (*shape, rows * columns))
            step = rows + 1
            check(isinstance(step, int), f"einsum: a diagonal of the named size {rows}")
            assert isinstance(step, int)
            names = (*(labels[axis] for axis in others), label)
            return _labelled(flat[(..., slice(None, None, step))], names)
    return Labelled(value, labels)


def _of_one_size(parts: list[Labelled], equation: str) -> list[Labelled]:
    """The operands with axes of size 1 repeated where others of the name are longer."""
    sizes: dict[Label, Size] = {}
    for part in parts:
        for label in part.labels:
            size = part.size(label)
            known = sizes.get(label, 1)
            check(
                known == 1 or size in (1, known),
                f"einsum of '{equation}': the axis '{label}' has the sizes {known} and {size}",
            )
            sizes[label] = size if known == 1 else known
    return [
        Labelled(broadcast(part.value, [sizes[label] for label in part.labels]), part.labels)
        for part in parts
    ]


def _joined(left: Labelled, right: Labelled, later: frozenset[Label]) -> Labelled:
    """The product of two operands, summed over what only they have."""
    left = left.keeping(later | frozenset(right.labels))
    right = right.keeping(later | frozenset(left.labels))
    both = [label for label in left.labels if label in right.labels]
    batch = [label for label in both if label in later]
    summed = [label for label in both if label not in later]
    rows = [label for label in left.labels if label not in both]
    columns = [label for label in right.labels if label not in both]
    names = (*batch, *rows, *columns)
    shape = [
        *(left.size(label) for label in (*batch, *rows)), *(right.size(c) for c in columns)
    ]
    one, other = left.ordered([*batch, *rows, *summed]), right.ordered([*batch, *summed, *columns])
    outer = [left.size(label) for label in batch]
    if not summed:
        apart = [left.size(label) for label in rows], [right.size(label) for label in columns]
        one = reshape(one, (*outer, *apart[0], *(1 for _ in columns)))
        other = reshape(other, (*outer, *(1 for _ in rows), *apart[1]))
        return Labelled(multiply(one, other), names)
    depth = product(left.size(label) for label in summed)
    one = reshape(one, (*outer, product(left.size(label) for label in rows), depth))
    other = reshape(other, (*outer, depth, product(right.size(label) for label in columns)))
    return Labelled(reshape(matmul(one, other), shape), names)
