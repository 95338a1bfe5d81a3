"""layout: convolutions and what is around them run channels-last.

Transposes stand only where a value is needed channels-first after all:

    relu(conv(x))  ->  transpose(relu(conv_nhwc(transpose(x))))
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..ir import Builder, Function, Op, Value
from ..ops.broadcast import Broadcast
from ..ops.checkpoint import Barrier
from ..ops.conv import Conv
from ..ops.conv_gradient import ConvWeightGradient
from ..ops.conv_transpose import ConvTranspose
from ..ops.pool import Pool
from ..ops.shape import reshape, transpose
from ..ops.table import TABLE
from ..target import Target
from .channel_order import stay_first, to_first, to_last


def layout(fn: Function, *, target: Target) -> Function:
    """Make convolutions and pools channels-last, and carry that layout through what allows it;
    but leave convolutions as they are that the transposes would make slower."""
    if not any(isinstance(node.op, _CONVOLUTIONS) for node in fn.nodes):
        return fn
    return _Layouts(Builder(TABLE), stay_first(fn, target)).run(fn)


_CONVOLUTIONS = (Conv, ConvTranspose, ConvWeightGradient)


@dataclass
class _Layouts:
    """Each value in the layouts it was needed in so far."""

    builder: Builder
    staying: frozenset[Value]  # results of convolutions that stay channels-first
    first: dict[Value, Value] = field(default_factory=dict)  # as the function had it
    last: dict[Value, Value] = field(default_factory=dict)  # channels-last

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
            self.first[value] = transpose(self.last[value], to_first(value.rank))
        return self.first[value]

    def _last(self, value: Value) -> Value:
        if value not in self.last:
            self.last[value] = transpose(self.first[value], to_last(value.rank))
        return self.last[value]

    def _barrier(self, op: Barrier, result: Value) -> None:
        """Its value and what it waits for in the orders that they are there in."""
        after = op.after
        if after is not None:
            after = self.first[after] if after in self.first else self.last[after]
        home = self.last if op.x in self.last else self.first
        home[result] = self.builder.emit(Barrier(home[op.x], after))[0]

    def _node(self, op: Op, results: tuple[Value, ...]) -> None:
        if isinstance(op, ConvWeightGradient) and op.layout == "nchw":
            # Its result is a weight, whose axes have one order only.
            moved = replace(op, x=self._last(op.x), dy=self._last(op.dy), layout="nhwc")
            self.first[results[0]] = self.builder.emit(moved)[0]
            return
        if isinstance(op, Barrier):
            self._barrier(op, results[0])
            return
        moves = len(results) == 1 and results[0] not in self.staying
        changed = self._channels_last(op) if moves else None
        if changed is not None:
            self.last[results[0]] = changed
            return
        emitted = self.builder.emit(op.map_operands(self._first))
        self.first.update(zip(results, emitted, strict=True))

    def _channels_last(self, op: Op) -> Value | None:
        """The result channels-last, where that is possible and pays."""
        match op:
            case Conv(layout="nchw") | ConvTranspose(layout="nchw"):
                weight = self._first(op.weight)
                moved_op: Op = replace(op, x=self._last(op.x), weight=weight, layout="nhwc")
                return self.builder.emit(moved_op)[0]
            case Pool(layout="nchw") if op.x in self.last:
                return self.builder.emit(replace(op, x=self._last(op.x), layout="nhwc"))[0]
            case Conv() | ConvTranspose() | Pool():
                return None
        spread = [value for value in op.operands if value.rank >= 3]
        rank = max((value.rank for value in spread), default=0)
        carried = [value for value in spread if value in self.last and value not in self.first]
        if not carried or any(value.rank != rank for value in op.operands):
            return None
        moved = op.permuted(to_last(rank))
        if moved is None:
            return None
        return self.builder.emit(moved.map_operands(self._last_of))[0]

    def _last_of(self, value: Value) -> Value:
        """The channels-last form of an operand; what is repeated over a value is repeated over its
        channels-last form rather than transposed."""
        match value.op:
            case Broadcast(x=x) if value not in self.last:
                source = self._first(x)
                padded = (1,) * (value.rank - x.rank) + tuple(x.shape)
                order = to_last(value.rank)
                moved = transpose(reshape(source, padded), order)
                (result,) = self.builder.emit(
                    Broadcast(moved, tuple(value.shape[axis] for axis in order))
                )
                self.last[value] = result
        return self._last(value)

