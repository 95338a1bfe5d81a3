"""What is for the gradient alone. Checkpoints: parts of a function whose values are computed again
for it, not kept; and values that it does not go through.

    %y = checkpoint [%x, %w] @layer(%x0: …, %x1: …) { … }

The gradient runs the region once more, on its inputs behind barriers: without these, what is
computed again would be found equal to what was, and so be kept from then on.

    %x' = barrier %x, %dy
"""

from __future__ import annotations

from ...expr import Expr
from ...ir import Element, Function, Op, Value, constructor, inline, op, run_reference, vjp
from ...types import Array, TensorType
from ..base.body import Indices
from ..base.elements import Gradients, emit
from .rule import check_region


@op
class Barrier(Op):
    """`x` itself, as a value of its own: no pass takes it for `x`, or has it before `after` is
    there. It costs nothing at run time."""

    x: Value
    after: Value | None = None

    def infer(self) -> TensorType:
        return self.x.type

    def reference(self, x: Array, after: Array | None) -> Array:
        return x

    def body(self, at: Indices, x: Element, after: Element | None) -> Expr:
        return x[at]

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy, None


@op
class StopGradient(Op):
    """`x` itself, through which no gradient goes: a constant to whoever differentiates."""

    x: Value

    def infer(self) -> TensorType:
        return self.x.type

    def reference(self, x: Array) -> Array:
        return x

    def decompose(self, x: Value) -> Value:
        return x

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (None,)


stop_gradient = constructor(StopGradient)


@op
class Checkpoint(Op):
    """The region's results, computed again from `inputs` where its gradient needs what is inside.

    Trades time for memory (Chen et al., "Training deep nets with sublinear memory cost", 2016).
    """

    inputs: tuple[Value, ...]
    region: Function

    def infer(self) -> tuple[TensorType, ...]:
        check_region(self.region, [value.type for value in self.inputs])
        return self.region.result_types

    def reference(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        return run_reference(self.region, inputs)

    def decompose(self, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        return inline(self.region, dict(zip(self.region.params, inputs, strict=True)))

    def gradient(self, *values: Value | None) -> tuple[tuple[Value | None, ...]]:
        arrived = values[len(self.region.results) :]
        late = next(gradient for gradient in arrived if gradient is not None)
        again = [emit(Barrier(value, late)) for value in self.inputs]
        _, pullback = vjp(self.region, again)
        return (pullback(*arrived),)


OPS: tuple[type[Op], ...] = (Barrier, StopGradient, Checkpoint)
