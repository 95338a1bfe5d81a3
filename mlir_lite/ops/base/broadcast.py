"""Broadcasting by NumPy's rule, always by an explicit operation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import check
from ...expr import Expr, index
from ...ir import Element, Op, Value, constructor, op
from ...sizes import Shape, Size, static
from ...types import Array, TensorType
from .body import Indices


@op
class Broadcast(Op):
    """Repeat along new leading axes and along axes of size 1, so that the shape is `shape`."""

    x: Value
    shape: Shape

    def infer(self) -> TensorType:
        new = len(self.shape) - self.x.rank
        kept = self.shape[new:] if new >= 0 else ()
        fits = len(kept) == self.x.rank and all(
            have in (1, want) for have, want in zip(self.x.shape, kept, strict=True)
        )
        if not fits:
            wanted = shape_text(self.shape)
            check(False, f"{shape_text(self.x.shape)} does not broadcast to {wanted}")
        return self.x.type.with_shape(self.shape)

    def reference(self, x: Array) -> Array:
        return np.broadcast_to(x, static(self.shape))

    def body(self, at: Indices, x: Element) -> Expr:
        kept = at[len(at) - x.type.rank :]
        return x[
            tuple(
                index(0) if extent == 1 else position
                for position, extent in zip(kept, x.type.static_shape, strict=True)
            )
        ]

    def gradient(self, y: Value, dy: Value) -> tuple[Value, ...]:
        new = len(self.shape) - self.x.rank
        kept = zip(self.x.shape, self.shape[new:], strict=True)
        repeated = tuple(new + axis for axis, (have, want) in enumerate(kept) if have != want)
        axes = (*range(new), *repeated)
        total = dy.sum(axes) if axes else dy
        return (total.reshape(self.x.shape) if repeated else total,)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        if self.x.rank != len(self.shape):
            return None
        return Broadcast(self.x, tuple(self.shape[axis] for axis in perm))


_broadcast = constructor(Broadcast)


def broadcast(x: Value, shape: Sequence[Size]) -> Value:
    """`x` repeated to `shape` (NumPy's `broadcast_to`); `x` itself where it has that shape."""
    return x if x.shape == tuple(shape) else _broadcast(x, tuple(shape))


def common_shape(*shapes: Shape) -> Shape | None:
    """The common shape by NumPy's rule, or None: sizes are equal (named ones too) or 1."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    common: list[Size] = []
    for sizes in zip(*padded, strict=True):
        wanted = [entry for entry in sizes if entry != 1]
        if any(entry != wanted[0] for entry in wanted):
            return None
        common.append(wanted[0] if wanted else 1)
    return tuple(common)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape by NumPy's rule; `TypeRuleError` where there is none."""
    shape = common_shape(*shapes)
    text = " and ".join(map(shape_text, shapes))
    check(shape is not None, f"the shapes {text} do not broadcast")
    return shape or ()


def shape_text(shape: Shape) -> str:
    """A shape as messages show it: `(64, batch)`."""
    return "(" + ", ".join(map(str, shape)) + ")"


OPS: tuple[type[Op], ...] = (Broadcast,)
