"""inline-checkpoints: the regions of checkpoints in their places.

They are for the gradient, which is taken by now: a program computes them like all else, and knows
from their barriers what to compute again.
"""

from __future__ import annotations

from ..ir import Function, Op, Replacement, transform
from ..ops.regions.checkpoint import Checkpoint
from ..ops.table import TABLE


def inline_checkpoints(fn: Function) -> Function:
    """Put the operations of checkpoints in their place."""
    while any(isinstance(node.op, Checkpoint) for node in fn.nodes):
        fn = transform(fn, _inlined, TABLE)
    return fn


def _inlined(op: Op) -> Replacement:
    return op.decompose(op.inputs) if isinstance(op, Checkpoint) else None
