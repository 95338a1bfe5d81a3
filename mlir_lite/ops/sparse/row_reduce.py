"""Sums and extremes of the elements that the rows of a sparse matrix store."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import check
from ...expr import COMBINERS, Expr, apply, cast, const
from ...ir import Element, Op, Value, op
from ...sizes import Shape
from ...tile.nodes import Block, Buffer, Kernel
from ...types import Array, TensorType
from ..base.body import Indices, computing_type
from ..base.cast import cast as converted
from ..base.elements import Gradients, emit
from ..base.promote import check_kind
from ..elementwise.compare import equal
from ..kernels.lanes import get, put
from ..reductions.reduce import widened
from ..shapes.index import gather
from .rows import RowSteps
from .sampled import entry_rows
from .structure import OUT_OF_ORDER, check_starts, check_stored, disordered, rows_in_numpy

_REDUCTIONS: Mapping[str, np.ufunc] = {"sum": np.add, "max": np.maximum, "min": np.minimum}


@op
class RowReduce(Op):
    """The sum, max or min of the values of each row, of which those of row r are the ones from
    `starts[r]` to `starts[r + 1]`; of an empty row what joins with nothing: 0, -inf or inf."""

    values: Value
    starts: Value
    combiner: str = "sum"

    def infer(self) -> TensorType:
        names = ", ".join(_REDUCTIONS)
        check(self.combiner in _REDUCTIONS, f"the reduction '{self.combiner}' is none of {names}")
        check_kind(self.values, "f" if self.combiner != "sum" else "fiu")
        check_stored(self.values, "stored values")
        return self.values.type.with_shape((check_starts(self.starts),))

    def reference(self, values: Array, starts: Array) -> Array:
        rows = rows_in_numpy(starts, len(values))
        wide = widened(values)
        identity = COMBINERS[self.combiner].identity[0](computing_type(self.values.dtype))
        total = np.full(len(starts) - 1, identity, wide.dtype)
        _REDUCTIONS[self.combiner].at(total, rows, wide)
        return total.astype(values.dtype)

    def fault(self, at: Indices, values: Element, starts: Element) -> tuple[Expr, str]:
        return disordered(at, starts, values.type.static_shape[0]), OUT_OF_ORDER

    @property
    def fault_shape(self) -> Shape:
        return self.starts.shape

    def kernel(self, name: str) -> Kernel:
        return self._kernel(name, on_card=False)

    def block_kernel(self, name: str) -> Kernel:
        return self._kernel(name, on_card=True)

    def _kernel(self, name: str, *, on_card: bool) -> Kernel:
        values, starts = (
            Buffer(field, value.dtype, value.type.static_shape)
            for field, value in (("values", self.values), ("starts", self.starts))
        )
        wide, combiner = computing_type(values.dtype), COMBINERS[self.combiner]
        steps = RowSteps(wide, starts, values.elements)
        out = Buffer("out", values.dtype, (steps.count,))
        total = steps.register()

        def entry(k: Expr) -> Block:
            value = cast(get(values, k), wide)
            return (put(total)(apply(combiner.function, get(total), value)),)

        def row(number: Expr, start: Expr, stop: Expr) -> Block:
            return (
                put(total)(const(combiner.identity[0](wide), wide)),
                *((steps.loop(start, stop, entry),) if values.elements else ()),
                put(out, number)(cast(get(total), out.dtype)),
            )

        body = steps.plain(row) if on_card else steps.dealt(values.elements, row)
        return Kernel(name, (values, starts, out), ("out",), (body,), tuple(steps.locals))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        rows = entry_rows(self.starts, self.values.shape[0])
        if self.combiner == "sum":
            return gather(dy, rows), None
        # In equal parts to all that reach the extreme, as `max` over an axis has it.
        reached = converted(equal(self.values, gather(y, rows)), dy.dtype)
        share = dy / row_reduced(reached, self.starts, "sum")
        return reached * gather(share, rows), None


def row_reduced(values: Value, starts: Value, combiner: str) -> Value:
    """The sum, max or min of the values of each row."""
    return emit(RowReduce(values, starts, combiner))


OPS: tuple[type[Op], ...] = (RowReduce,)
