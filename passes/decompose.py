"""decompose: operations that are defined by others (norms, softmax, attention) are written out."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Function, Op, Replacement, transform
from ..ops.table import TABLE


def decompose(fn: Function, *, keep: str | Sequence[str] = (), fuel: int = 8) -> Function:
    """Replace every operation that has a decomposition by it, until none is left; operations
    named in `keep` (one, or several) stay."""
    kept = (keep,) if isinstance(keep, str) else keep

    def visit(op: Op) -> Replacement:
        if not _has_decomposition(op, kept):
            return None
        values = {value: value for value in op.operands}
        replaced: Replacement = op.decompose(*op.arguments(values))
        return replaced

    for _ in range(fuel):
        if not any(_has_decomposition(node.op, kept) for node in fn.nodes):
            break
        fn = transform(fn, visit, TABLE)
    return fn


def _has_decomposition(op: Op, keep: Sequence[str]) -> bool:
    return op.name not in keep and type(op).has("decompose")
