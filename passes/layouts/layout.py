"""layout: convolutions and what is around them run channels-last, or with the batch last.

Transposes stand only where a value is needed channels-first after all:

    relu(conv(x))  ->  transpose(relu(conv_nhwc(transpose(x))))
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...ir import Builder, Function, Op, Value
from ...ops.base.broadcast import Broadcast
from ...ops.reductions.reduce import Reduction
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.shape import inverse_permutation, reshape, transpose
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...ops.windows.conv_gradient import ConvWeightGradient
from ...ops.windows.conv_transpose import ConvTranspose
from ...ops.windows.pool import Pool
from ...ops.windows.windows import order_of
from ...target import Target
from .batch_order import batch_is_last
from .channel_order import stay_first


def layout(fn: Function, *, target: Target) -> Function:
    """Make convolutions and pools channels-last, and carry that layout through what allows it;
    but leave convolutions as they are that the transposes would make slower. Where channels are
    few and examples many, the batch comes last instead."""
    if not any(isinstance(node.op, _CONVOLUTIONS) for node in fn.nodes):
        return fn
    if batch_is_last(fn, target):
        return _Layouts(Builder(TABLE), "chwn", frozenset()).run(fn)
    return _Layouts(Builder(TABLE), "nhwc", stay_first(fn, target)).run(fn)


_CONVOLUTIONS = (Conv, ConvTranspose, ConvWeightGradient)


@dataclass
class _Layouts:
    """Each value in the layouts it was needed in so far."""

    builder: Builder
    layout: str  # what they are moved to
    staying: frozenset[Value]  # results of convolutions that stay channels-first
    first: dict[Value, Value] = field(default_factory=dict)  # as the function had it
    moved: dict[Value, Value] = field(default_factory=dict)  # in that layout

    def _order(self, rank: int) -> tuple[int, ...]:
        return order_of(self.layout, rank)

    def run(self, fn: Function) -> Function:
        self.first.update(zip(fn.params, fn.params, strict=True))
        with self.builder.active():
            for node in fn.nodes:
                with self.builder.at(node.location):
                    self._node(node.op, node.results)
            results = [self._first(result) for result in fn.results]
        return self.builder.remade(fn, results)

    def _first(self, value: Value) -> Value:
        if value not in self.first:
            self.first[value] = transpose(
                self.moved[value], inverse_permutation(self._order(value.rank))
            )
        return self.first[value]

    def _moved(self, value: Value) -> Value:
        if value not in self.moved:
            self.moved[value] = transpose(self.first[value], self._order(value.rank))
        return self.moved[value]

    def _barrier(self, op: Barrier, result: Value) -> None:
        """Its value and what it waits for in the orders that they are there in."""
        after = op.after
        if after is not None:
            after = self.first[after] if after in self.first else self.moved[after]
        home = self.moved if op.x in self.moved else self.first
        home[result] = self.builder.emit(Barrier(home[op.x], after))[0]

    def _node(self, op: Op, results: tuple[Value, ...]) -> None:
        if isinstance(op, ConvWeightGradient) and op.layout == "nchw":
            # Its result is a weight, whose axes have one order only.
            moved = replace(
                op, x=self._moved(op.x), dy=self._moved(op.dy), layout=self.layout
            )
            self.first[results[0]] = self.builder.emit(moved)[0]
            return
        if isinstance(op, Barrier):
            self._barrier(op, results[0])
            return
        if isinstance(op, Reduction) and self._takes_moved(op):
            order = self._order(op.x.rank)
            axes = tuple(sorted(order.index(axis) for axis in op.axes))
            reduced = replace(op, x=self.moved[op.x], axes=axes)
            self.first[results[0]] = self.builder.emit(reduced)[0]
            return
        moves = len(results) == 1 and results[0] not in self.staying
        changed = self._in_layout(op) if moves else None
        if changed is not None:
            self.moved[results[0]] = changed
            return
        emitted = self.builder.emit(op.map_operands(self._first))
        self.first.update(zip(results, emitted, strict=True))

    def _takes_moved(self, op: Reduction) -> bool:
        """Whether a reduction that leaves one axis, of which any order is the same, finds its
        operand in the layout alone."""
        alone = op.x in self.moved and op.x not in self.first
        return alone and not op.keepdims and op.x.rank - len(op.axes) <= 1

    def _in_layout(self, op: Op) -> Value | None:
        """The result in the layout, where that is possible and pays."""
        match op:
            case Conv(layout="nchw") | ConvTranspose(layout="nchw"):
                weight = self._first(op.weight)
                moved_op: Op = replace(op, x=self._moved(op.x), weight=weight, layout=self.layout)
                return self.builder.emit(moved_op)[0]
            case Pool(layout="nchw") if op.x in self.moved:
                return self.builder.emit(replace(op, x=self._moved(op.x), layout=self.layout))[0]
            case Conv() | ConvTranspose() | Pool():
                return None
        spread = [value for value in op.operands if value.rank >= 3]
        rank = max((value.rank for value in spread), default=0)
        carried = [value for value in spread if value in self.moved and value not in self.first]
        if not carried or any(value.rank != rank for value in op.operands):
            return None
        moved = op.permuted(self._order(rank))
        if moved is None:
            return None
        return self.builder.emit(moved.map_operands(self._moved_of))[0]

    def _moved_of(self, value: Value) -> Value:
        """An operand in the layout; what is repeated over a value is repeated over its moved form
        rather than transposed."""
        match value.op:
            case Broadcast(x=x) if value not in self.moved:
                source = self._first(x)
                padded = (1,) * (value.rank - x.rank) + tuple(x.shape)
                order = self._order(value.rank)
                moved = transpose(reshape(source, padded), order)
                (result,) = self.builder.emit(
                    Broadcast(moved, tuple(value.shape[axis] for axis in order))
                )
                self.moved[value] = result
        return self._moved(value)

