"""pack-invariants: weights that a loop multiplies by in every step are packed in panels before it.

    scan [%h], [%xs], [%w] {length = 128} @step(%h: …, %x: …, %w: tensor<512x2048xf32>) {
      %0 = matmul %h, %w : tensor<1x2048xf32>

becomes

    %0 = pack_columns %w {width = 64} : tensor<32x512x64xf32>
    scan [%h], [%xs], [%0] {length = 128} @step(…) {
      %0 = panel_matmul %h, %w {columns = 2048} : tensor<1x2048xf32>

A product from the left by such a weight is its transpose's from the right, where the other factor
is small: that is what is transposed in each step. Constants are `pack-constants`' to pack.
"""

from __future__ import annotations

from math import prod

from ...ir import Function, Op, Value, current_builder, rewrite, rewrite_all, transform
from ...ir.rewrite import Pattern
from ...ops.products.matmul import Matmul, matmul
from ...ops.regions.control import Scan, WhileLoop
from ...ops.shapes.shape import Transpose, swapaxes
from ...ops.table import TABLE
from ...target import Target
from ..loops.hoist import hoist
from .pack_constants import packed_product

LEAST_STEPS = 4  # that make good for packing
THIN = 8  # times as large as the other factor a weight is, at least, to be turned instead of it


def pack_invariants(fn: Function, *, target: Target) -> Function:
    """Pack what loops multiply by, for loops of some steps."""

    def visit(op: Op) -> tuple[Value, ...] | None:
        match op:
            case Scan(length=int(length), step=step) if length >= LEAST_STEPS:
                given = len(op.carries) + len(op.inputs)
            case WhileLoop(step=step):
                given = len(op.carries)
            case _:
                return None
        packed = _packed(step, step.params[given:], target)
        if packed is step:
            return None
        new = op.rebuild(lambda value: value, lambda part: packed if part is step else part)
        return current_builder().emit(new)

    changed = transform(fn, visit, TABLE)
    return fn if changed is fn else hoist(changed)


def _packed(step: Function, weights: tuple[Value, ...], target: Target) -> Function:
    patterns = [_from_the_right(weights), _packing(weights, target)]
    return rewrite_all(step, patterns, TABLE, fuel=2)


def _from_the_right(weights: tuple[Value, ...]) -> Pattern:
    @rewrite(Matmul)
    def turn(op: Matmul) -> Value | None:
        """matmul(w, x)  ->  transpose(matmul(transpose(x), transpose(w))), of thin x"""
        if not _is_weight(op.lhs, weights) or op.lhs.rank != op.rhs.rank:
            return None
        if prod(op.lhs.type.static_shape) < THIN * prod(op.rhs.type.static_shape):
            return None
        turned = matmul(swapaxes(op.rhs, -1, -2), swapaxes(op.lhs, -1, -2))
        return swapaxes(turned, -1, -2)

    return turn


def _packing(weights: tuple[Value, ...], target: Target) -> Pattern:
    @rewrite(Matmul)
    def pack(op: Matmul) -> Value | None:
        """matmul(x, w)  ->  panel_matmul(x, pack_columns(w)), of the loop's weights w"""
        return packed_product(op, target) if _is_weight(op.rhs, weights) else None

    return pack


def _is_weight(value: Value, weights: tuple[Value, ...]) -> bool:
    """Whether a value is one of these, or that transposed."""
    while isinstance(value.op, Transpose):
        value = value.op.x
    return value in weights
