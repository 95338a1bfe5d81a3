"""Writing elements at indices that are data, as kernels written by hand.

Updates are applied in row-major order of the indices, so that the last one to a place wins. An
index out of range sets the status of the run, and its update is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import check
from ...expr import INDEX, Expr, Load, Var, all_of, boolean, index, select, to_index
from ...ir import Element, Op, Operand, Value, current_builder, op
from ...sizes import Shape
from ...tile.nodes import Accumulate, Block, Buffer, If, Kernel, Kind, Ref, Stmt, Store
from ...tile.tree import loops_over
from ...types import Array, TensorType
from ..base.axes import normal_axis
from ..base.body import Indices, inside, outside
from ..base.broadcast import shape_text
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind, check_same_dtype, like
from .indexing import OUT_OF_RANGE, check_elements, index_depth
from .scatter_gradient import scatter_gradients

# NumPy's unbuffered form of each reduction, and its combiner in Tile IR.
_REDUCTIONS: Mapping[str, tuple[np.ufunc, str]] = {
    "add": (np.add, "sum"),
    "mul": (np.multiply, "prod"),
    "min": (np.minimum, "min"),
    "max": (np.maximum, "max"),
}


class Scatter(Op):
    """A copy of `x` with updates joined into it: `reduction` is none, add, mul, min or max."""

    x: Value
    indices: Value
    updates: Value
    reduction: str

    def check_updates(self, shape: Shape) -> None:
        """The type rule of updates of this shape, and of the reduction."""
        check_same_dtype(self.x, self.updates)
        names = ", ".join(("none", *_REDUCTIONS))
        check(
            self.reduction in ("none", *_REDUCTIONS),
            f"the reduction '{self.reduction}' is none of {names}",
        )
        if self.reduction != "none":
            check_kind(self.x, "fiu")
        text = f"updates of shape {shape_text(self.updates.shape)}, not {shape_text(shape)}"
        check(self.updates.shape == shape, text)

    def write(self, x: Array, places: tuple[Array, ...], updates: Array) -> Array:
        """In NumPy: the updates joined into a copy of `x` at index arrays."""
        result = x.copy()
        if self.reduction == "none":
            result[places] = updates
        else:
            with np.errstate(all="ignore"):
                _REDUCTIONS[self.reduction][0].at(result, places, updates)
        return result

    def read(self, value: Value) -> Value:
        """The elements of a value of the shape of `x` at the places that are written."""
        raise NotImplementedError(f"{self.name} does not say where it writes")

    def written(self, x: Value, updates: Value, reduction: str) -> Value:
        """The same scatter of other values."""
        raise NotImplementedError(f"{self.name} does not say where it writes")

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return scatter_gradients(self, y, dy)

    def join(self, place: Indices, update: Expr) -> Stmt:
        """In Tile IR: one update joined into the element at a place."""
        target = Ref("out", place)
        if self.reduction == "none":
            return Store(target, update)
        return Accumulate(_REDUCTIONS[self.reduction][1], (target,), (update,))

    def build(self, name: str, updates: Block) -> Kernel:
        """The kernel that copies `x` in parallel, then applies the updates."""
        shape, dtype = self.x.type.static_shape, self.x.dtype
        at = _variables("i", len(shape))
        copy: Block = (Store(Ref("out", at), Load(dtype, "x", at)),)
        params = (
            Buffer("x", dtype, shape),
            Buffer("indices", self.indices.dtype, self.indices.type.static_shape),
            Buffer("updates", dtype, self.updates.type.static_shape),
            Buffer("out", dtype, shape),
        )
        body = (*_loops("i", shape, copy, Kind.PARALLEL), *updates)
        return Kernel(name, params, ("out",), body)


@op
class ScatterElements(Scatter):
    """`y[indices[i, j], j] = updates[i, j]` for axis 0, and alike for others; else `y = x`."""

    x: Value
    indices: Value
    updates: Value
    axis: int
    reduction: str = "none"

    def infer(self) -> TensorType:
        check_elements(self.x, self.indices, self.axis)
        self.check_updates(self.indices.shape)
        return self.x.type

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        places: list[Array] = list(np.indices(indices.shape))
        places[self.axis] = indices.astype(np.int64)
        return self.write(x, tuple(places), updates)

    def kernel(self, name: str) -> Kernel:
        shape = self.indices.type.static_shape
        extent = self.x.type.static_shape[self.axis]
        at = _variables("u", len(shape))
        picked = to_index(Load(self.indices.dtype, "indices", at))
        place = (*at[: self.axis], _counted(picked, extent), *at[self.axis + 1 :])
        update = self.join(place, Load(self.x.dtype, "updates", at))
        return self.build(name, _loops("u", shape, (If(inside(picked, extent), (update,)),)))

    def fault(
        self, at: Indices, x: Element, indices: Element, updates: Element
    ) -> tuple[Expr, str]:
        return outside(to_index(indices[at]), x.type.static_shape[self.axis]), OUT_OF_RANGE

    @property
    def fault_shape(self) -> Shape:
        return self.indices.shape

    def read(self, value: Value) -> Value:
        call = current_builder().table.call
        return call("gather_elements", value, self.indices, self.axis)

    def written(self, x: Value, updates: Value, reduction: str) -> Value:
        return scatter_elements(x, self.indices, updates, self.axis, reduction)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        axis = perm.index(self.axis)
        return ScatterElements(self.x, self.indices, self.updates, axis, self.reduction)


@op
class ScatterNd(Scatter):
    """Updates written at tuples of indices, which lie along the last axis of `indices`.

    `x (n, m, c)`, `indices (i, 2)` and `updates (i, c)`: `y[indices[i]] = updates[i]`.
    """

    x: Value
    indices: Value
    updates: Value
    reduction: str = "none"

    def infer(self) -> TensorType:
        depth = index_depth(self.x, self.indices)
        self.check_updates((*self.indices.shape[:-1], *self.x.shape[depth:]))
        return self.x.type

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        places = tuple(np.moveaxis(indices.astype(np.int64), -1, 0))
        return self.write(x, places, updates)

    def kernel(self, name: str) -> Kernel:
        *prefix, depth = self.indices.type.static_shape
        shape = self.x.type.static_shape
        at = _variables("u", len(prefix))
        rest = _variables("v", len(shape) - depth)
        picked = [
            to_index(Load(self.indices.dtype, "indices", (*at, index(k)))) for k in range(depth)
        ]
        within = [inside(part, extent) for part, extent in zip(picked, shape, strict=False)]
        place = [_counted(part, extent) for part, extent in zip(picked, shape, strict=False)]
        update = self.join((*place, *rest), Load(self.x.dtype, "updates", (*at, *rest)))
        row = If(all_of(*within), _loops("v", shape[depth:], (update,)))
        return self.build(name, _loops("u", tuple(prefix), (row,)))

    def fault(
        self, at: Indices, x: Element, indices: Element, updates: Element
    ) -> tuple[Expr, str]:
        wrong: Expr = boolean(False)
        for k in range(indices.type.static_shape[-1]):
            wrong = wrong | outside(to_index(indices[(*at, index(k))]), x.type.static_shape[k])
        return wrong, OUT_OF_RANGE

    @property
    def fault_shape(self) -> Shape:
        return self.indices.shape[:-1]

    def read(self, value: Value) -> Value:
        return current_builder().table.call("gather_nd", value, self.indices)

    def written(self, x: Value, updates: Value, reduction: str) -> Value:
        return scatter_nd(x, self.indices, updates, reduction)


def _variables(prefix: str, rank: int) -> Indices:
    return tuple(Var(INDEX, f"{prefix}{axis}") for axis in range(rank))


def _loops(prefix: str, shape: tuple[int, ...], block: Block, kind: Kind = Kind.SERIAL) -> Block:
    """The block in a loop nest over a shape, whose axes are those of `_variables`."""
    axes = ((f"{prefix}{axis}", extent) for axis, extent in enumerate(shape))
    return loops_over(axes, block, kind)


def _counted(picked: Expr, extent: int) -> Expr:
    """An index in range where -1 is the last."""
    return select(picked < 0, picked + extent, picked)


def scatter_elements(
    x: Operand, indices: Operand, updates: Operand, axis: int, reduction: str = "none"
) -> Value:
    """`x` with updates written along an axis at the places that `indices` say."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    return emit(ScatterElements(value, as_value(indices), like(updates, value), place, reduction))


def scatter_nd(
    x: Operand, indices: Operand, updates: Operand, reduction: str = "none"
) -> Value:
    """`x` with slices written at the tuples of indices along the last axis of `indices`."""
    value = as_value(x)
    return emit(ScatterNd(value, as_value(indices), like(updates, value), reduction))


OPS: tuple[type[Op], ...] = (ScatterElements, ScatterNd)
