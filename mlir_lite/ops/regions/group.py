"""The group: operations that the fuse pass chose to run as one kernel."""

from __future__ import annotations

from ...ir import (
    Function,
    Op,
    OpTable,
    Replacement,
    Value,
    inline,
    multi_constructor,
    op,
    run_reference,
    transform,
)
from ...types import Array, TensorType
from .rule import check_region


@op
class Group(Op):
    """Operations computed by one kernel: the region's, on `inputs` in the order of its parameters.

    `kind` names the recipe that schedules it. The results are those of the region.
    """

    inputs: tuple[Value, ...]
    kind: str
    region: Function

    def infer(self) -> tuple[TensorType, ...]:
        check_region(self.region, [value.type for value in self.inputs])
        return self.region.result_types

    def reference(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        return run_reference(self.region, inputs)


def ungrouped(fn: Function, table: OpTable) -> Function:
    """The function with the operations of its groups in their place."""
    if not any(isinstance(node.op, Group) for node in fn.nodes):
        return fn

    def visit(op: Op) -> Replacement:
        if not isinstance(op, Group):
            return None
        return inline(op.region, dict(zip(op.region.params, op.inputs, strict=True)))

    return ungrouped(transform(fn, visit, table), table)


group = multi_constructor(Group)

OPS: tuple[type[Op], ...] = (Group,)
