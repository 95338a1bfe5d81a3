"""Linear recurrences along an axis, and the kernels of what runs along one."""

from __future__ import annotations

import numpy as np

from ...expr import INDEX, Expr, Load, Var, cast, const, index
from ...ir import Op, Value, op
from ...tile.nodes import Block, Buffer, Kernel, Kind, Loop, Ref, Space, Store
from ...tile.tree import loops_over
from ...types import Array, TensorType
from ..base.axes import check_axis
from ..base.body import Indices, computing_type
from ..base.elements import Gradients, emit
from ..base.promote import check_alike, check_kind
from ..shapes.slice import pad
from .reduce import widened


@op
class LinearRecurrence(Op):
    """`y[i] = factors[i] * y[i - 1] + terms[i]` along an axis, or the same from its end."""

    factors: Value
    terms: Value
    axis: int
    reverse: bool = False

    def infer(self) -> TensorType:
        check_kind(self.terms, "f")
        check_alike(self.factors, self.terms)
        check_axis(self.axis, self.terms.rank)
        return self.terms.type

    def reference(self, factors: Array, terms: Array) -> Array:
        f, t = (np.moveaxis(widened(array), self.axis, 0) for array in (factors, terms))
        y = np.empty_like(t)
        total = np.zeros(t.shape[1:])
        for i in reversed(range(len(t))) if self.reverse else range(len(t)):
            total = f[i] * total + t[i]
            y[i] = total
        return np.asarray(np.moveaxis(y, 0, self.axis)).astype(terms.dtype)

    def kernel(self, name: str) -> Kernel:
        shape, dtype = self.terms.type.static_shape, self.terms.dtype
        wide = computing_type(dtype)
        at = running_index(shape, self.axis, self.reverse)
        factor, term = (cast(Load(dtype, operand, at), wide) for operand in ("factors", "terms"))
        total = Load(wide, *TOTAL)
        steps = (
            Store(Ref(*TOTAL), factor * total + term),
            Store(Ref("out", at), cast(total, dtype)),
        )
        params = tuple(Buffer(each, dtype, shape) for each in ("factors", "terms", "out"))
        return running_kernel(name, params, self.axis, const(0, wide), steps)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """A recurrence from the other end; a factor is multiplied by the element before its own."""
        following = shifted(self.factors, self.axis, 1 if self.reverse else -1)
        terms = linear_recurrence(following, dy, self.axis, reverse=not self.reverse)
        return terms * shifted(y, self.axis, -1 if self.reverse else 1), terms

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return LinearRecurrence(self.factors, self.terms, perm.index(self.axis), self.reverse)


def linear_recurrence(
    factors: Value, terms: Value, axis: int, *, reverse: bool = False
) -> Value:
    """`y[i] = factors[i] * y[i - 1] + terms[i]` along an axis; see `LinearRecurrence`."""
    return emit(LinearRecurrence(factors, terms, axis, reverse))


def shifted(x: Value, axis: int, by: int) -> Value:
    """`y[i + by] = x[i]` along an axis, with zeros where nothing comes from."""
    return pad(x, [(by, -by) if place == axis else (0, 0) for place in range(x.rank)])


# The running total of a kernel, in a register.
TOTAL = ("total", (index(0),))


def running_index(shape: tuple[int, ...], axis: int, reverse: bool) -> Indices:
    """The element at each step of a kernel that runs along an axis."""
    step = Var(INDEX, f"i{axis}")
    position = index(shape[axis] - 1) - step if reverse else step
    return tuple(position if a == axis else Var(INDEX, f"i{a}") for a in range(len(shape)))


def running_kernel(
    name: str, params: tuple[Buffer, ...], axis: int, first: Expr, steps: Block
) -> Kernel:
    """One serial loop along the axis, with the total in a register; the others parallel.

    The total is `first` before the first of the steps. The last parameter is the result.
    """
    out = params[-1]
    block: Block = (
        Store(Ref(*TOTAL), first),
        Loop(f"i{axis}", index(0), index(out.shape[axis]), steps),
    )
    others = ((f"i{other}", size) for other, size in enumerate(out.shape) if other != axis)
    block = loops_over(others, block, Kind.PARALLEL)
    register = Buffer("total", first.dtype, (1,), Space.REGISTER)
    return Kernel(name, params, (out.name,), block, (register,))


OPS: tuple[type[Op], ...] = (LinearRecurrence,)
