"""attention: a softmax between two products becomes one operation in blocks, which never keeps the
matrix of all scores.

matmul(softmax(matmul(q, kᵀ) * scale + mask), v)  ->  blocked_attention(q, k, v, mask) {scale, ..}

Transposes of the operands and of the result become orders of axes. Where blocks do not pay, all
stays as it was.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ...ir import Constant, Function, Op, Value, current_builder, transform
from ...ops.base.broadcast import Broadcast
from ...ops.elementwise.arithmetic import Add
from ...ops.elementwise.compare import Isnan, logical_not
from ...ops.elementwise.select import Where
from ...ops.nn.attention import Attention
from ...ops.nn.blocked_attention import BlockedAttention
from ...ops.nn.softmax import Softmax
from ...ops.products.matmul import Matmul
from ...ops.shapes.shape import Reshape, Transpose, expand_dims, swapaxes, transpose
from ...ops.table import TABLE
from ...target import Target
from ...types import bool_, f32, f64
from ..schedule.cost.attention import attention_blocks
from ..simplify.uniform import uniform
from .attention_gradients import gradients, rounded_to
from .attention_operands import Operand, composed, operand, scaled, sharing_scores

UNSEEN = -1e30  # a score to which that is added, or that becomes it, has no weight beside others


def attention(fn: Function, *, target: Target) -> Function:
    """Write attention in blocks where that pays, then let it take in transposes of its result; its
    gradients in blocks on a card, elsewhere by products of all scores."""
    fn = gradients(fn, target)
    counts, shared = _use_counts(fn), sharing_scores(fn, target)

    def alone(op: Op) -> bool:
        """Whether nothing else reads what is computed on the way."""
        found = None if op in shared else find(op)
        return found is not None and all(
            counts[value] == found.inner.count(value) for value in found.inner
        )

    # Of the function as it is: `transform` visits the nodes in their order, on new operands.
    found = iter([alone(node.op) for node in fn.nodes])

    def visit(op: Op) -> Value | None:
        match = find(op) if next(found) else None
        return None if match is None else match.in_blocks(target)

    return fold_result_order(transform(fn, visit, TABLE))


def fold_result_order(fn: Function) -> Function:
    """transpose(blocked_attention(..))  ->  blocked_attention(..) {result_axes}, if it is alone"""
    counts = _use_counts(fn)
    alone = iter([
        isinstance(node.op, Transpose) and counts[node.op.x] == 1 for node in fn.nodes
    ])

    def visit(op: Op) -> Value | None:
        if not next(alone):
            return None
        match op:
            case Transpose(x=Value(op=BlockedAttention() as inner), perm=perm):
                axes = composed(perm, inner.result_axes or tuple(range(len(perm))))
                if axes[-1] != len(axes) - 1:
                    return None  # rows of the result would be written one element at a time
                return current_builder().emit(replace(inner, result_axes=_attribute(axes)))[0]
        return None

    return transform(fn, visit, TABLE)


@dataclass(frozen=True)
class Found:
    """Attention as `BlockedAttention` has it, but for a `mask` that is the right way round, its
    bools `inverted` perhaps; and the values computed on the way to the result, each as often as it
    is used."""

    queries: Operand
    keys: Operand
    values: Operand
    scale: float
    mask: Value | None = None
    causal: bool = False
    fill: float = -math.inf
    inverted: bool = False
    unseen_is_zero: bool = False
    inner: tuple[Value, ...] = ()

    def in_blocks(self, target: Target) -> Value | None:
        """The operation in blocks, if that pays."""
        sizes = self._sizes(target)
        if sizes is None:
            return None
        values = self.values
        if values.axes[-1] != len(values.axes) - 1:  # the kernel reads whole rows
            values = Operand(transpose(values.value, values.axes), tuple(range(len(values.axes))))
        mask, axes = self._mask(in_place=target.gpu is not None)
        rows, columns, parts = sizes
        operands = self.queries.value, self.keys.value, values.value
        queries, keys, rows_of_values = rounded_to(operands, target)
        made = BlockedAttention(
            queries,
            keys,
            rows_of_values,
            mask,
            self.scale * self.queries.factor * self.keys.factor,
            rows,
            columns,
            self.causal,
            self.fill,
            self.unseen_is_zero,
            _attribute(self.queries.axes),
            _attribute(self.keys.axes),
            _attribute(values.axes),
            mask_axes=axes,
            parts=parts,
            wide=queries is not self.queries.value,
        )
        return current_builder().emit(made)[0]

    def _sizes(self, target: Target) -> tuple[int, int, int] | None:
        """Queries and keys of a block, and parts of the keys; None where blocks do not pay."""
        dtype = self.queries.value.dtype
        shapes = (self.queries.shape, self.keys.shape, self.values.shape)
        if 0 in (size for shape in shapes for size in shape):
            return None
        if target.gpu is not None:
            # Lazy: what a CPU never needs.
            from ..schedule.gpu.attention.tiles import blocks_on_card

            return blocks_on_card(*shapes, dtype, self.causal, target.gpu)
        if dtype not in (f32, f64):
            return None
        queries, keys = self.queries.shape[-2], self.keys.shape[-2]
        sizes = attention_blocks(queries, keys, dtype, self.causal, target)
        return None if sizes is None else (*sizes, 1)

    def _mask(self, *, in_place: bool) -> tuple[Value | None, tuple[int, ...]]:
        """The mask a row to a key, or as it lies, with the order of axes that makes it so."""
        if self.mask is None:
            return None, ()
        mask = logical_not(self.mask) if self.inverted else self.mask
        if mask.rank < 2:
            mask = expand_dims(mask, tuple(range(2 - mask.rank)))
        if in_place:
            return mask, (*range(mask.rank - 2), mask.rank - 1, mask.rank - 2)
        return swapaxes(mask, -1, -2), ()


def find(op: Op) -> Found | None:
    """The attention that an operation gives the result of."""
    match op:
        case Attention():
            if not all(value.type.is_static for value in op.operands):
                return None
            return Found(
                operand(op.queries), operand(op.keys), operand(op.values, factors=False),
                op.scale, op.mask, op.causal,
            )
        case Matmul(lhs=weights, rhs=values) if op.infer().is_static:
            inner: tuple[Value, ...] = (weights,)
            match weights.op:
                case Where(condition=Value(op=Isnan(x=x)) as nan, then=zero, otherwise=y):
                    if x is y and uniform(zero) == 0:
                        weights, inner = x, (weights, nan, x, x)
            match weights.op:
                case Softmax(x=scores, axis=axis) if axis == scores.rank - 1:
                    return _Scores(scores, inner, len(inner) > 1).found(values)
    return None


@dataclass
class _Scores:
    """Reads scores from the softmax back to the product."""

    value: Value
    inner: tuple[Value, ...]
    unseen_is_zero: bool
    scale: float = 1.0
    mask: Value | None = None
    causal: bool = False
    fill: float = -math.inf
    inverted: bool = False

    def found(self, values: Value) -> Found | None:
        while True:
            self.inner = (*self.inner, self.value)
            bare, number = scaled(self.value)
            match self.value.op:
                case Matmul(lhs=queries, rhs=keys):
                    return Found(
                        operand(queries), operand(keys, turned=True),
                        operand(values, factors=False), self.scale, self.mask, self.causal,
                        self.fill, self.inverted, self.unseen_is_zero, self.inner,
                    )
                case Add(lhs=left, rhs=right):
                    product, mask = (left, right) if _has_product(left) else (right, left)
                    taken = self._take(product, mask, math.nan)
                case Where(condition=mask, then=product, otherwise=other):
                    taken = self._take(product, mask, uniform(other))
                    if not taken:
                        taken = self._take(other, mask, uniform(product), inverted=True)
                case _ if bare is not self.value:
                    self.value, self.scale, taken = bare, self.scale * number, True
                case _:
                    taken = False
            if not taken:
                return None

    def _take(
        self, product: Value, mask: Value, fill: float | None, *, inverted: bool = False
    ) -> bool:
        """Note a mask of the scores that a `product` gives; not if they are scaled after it."""
        if fill is None or self.scale != 1 or product.shape != self.value.shape:
            return False
        while isinstance(mask.op, Broadcast):
            mask = mask.op.x
        if is_causal(mask, fill, inverted, product.type.static_shape[-2:]):
            self.causal = True
        elif self.mask is None:
            self.mask, self.inverted = mask, inverted
            self.fill = self.fill if mask.dtype != bool_ else float(fill)
        else:
            return False
        self.value = product
        return True


def is_causal(mask: Value, fill: float, inverted: bool, sizes: tuple[int, ...]) -> bool:
    """Whether a constant mask lets query i see the keys up to i, and leaves their scores as they
    are. The first key is seen by all, so that those unseen have no weight."""
    source = mask.op.x if isinstance(mask.op, Reshape) else mask
    if not isinstance(source.op, Constant) or source.type.elements != math.prod(sizes):
        return False
    if mask.type.static_shape[-2:] != sizes:
        return False
    array = source.op.value.array().reshape(sizes)
    rows, columns = sizes
    seen = np.tri(rows, columns, dtype=np.bool_)
    if mask.dtype == bool_:
        return fill <= UNSEEN and np.array_equal(array != inverted, seen)
    return np.array_equal(array == 0, seen) and bool(np.all(array[~seen] <= UNSEEN))


def _has_product(value: Value) -> bool:
    """Whether a value is a product, scaled or masked perhaps."""
    bare, _ = scaled(value)
    match bare.op:
        case Matmul():
            return True
        case Add(lhs=left, rhs=right):
            return _has_product(left) or _has_product(right)
        case Where(then=then, otherwise=otherwise):
            return _has_product(then) or _has_product(otherwise)
    return False


def _attribute(axes: tuple[int, ...]) -> tuple[int, ...]:
    """An order of axes as the operation has it: empty where it changes nothing."""
    return () if axes == tuple(range(len(axes))) else axes


def _use_counts(fn: Function) -> Counter[Value]:
    """How often each value is used, as a result of the function too."""
    counts = Counter(value for node in fn.nodes for value in node.op.operands)
    counts.update(fn.results)
    return counts
