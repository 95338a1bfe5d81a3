"""decompose: operations that are defined by others (norms, softmax, attention) are written out."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Function, Op, Replacement, transform
from ..ops.table import TABLE


def decompose(fn: Function, *, keep: Sequence[str] = (), fuel: int = 8) -> Function:
    """Replace every operation that has a decomposition by it, until none is left; operations
    named in `keep` stay."""

    def visit(op: Op) -> Replacement:
        if op.name in keep or not type(op).has("decompose"):
            return None
        values = {value: value for value in op.operands}
        replaced: Replacement = op.decompose(*op.arguments(values))
        return replaced

    for _ in range(fuel):
        before = fn
        fn = transform(fn, visit, TABLE)
        if not any(type(node.op).has("decompose") and node.op.name not in keep
                   for node in before.nodes):
            break
    return fn
