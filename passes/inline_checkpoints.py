"""inline-checkpoints: the regions of checkpoints in their places, without what stops gradients.

They are for the gradient, which is taken by now: a program computes them like all else, and knows
from their barriers what to compute again.
"""

from __future__ import annotations

from ..ir import Function, Op, Replacement, transform
from ..ops.regions.checkpoint import Checkpoint, StopGradient
from ..ops.table import TABLE


def inline_checkpoints(fn: Function) -> Function:
    """Put the operations of checkpoints in their place, and leave out what stops gradients."""
    while any(isinstance(node.op, (Checkpoint, StopGradient)) for node in fn.nodes):
        fn = transform(fn, _inlined, TABLE)
    return fn


def _inlined(op: Op) -> Replacement:
    match op:
        case Checkpoint(inputs=inputs):
            return op.decompose(inputs)
        case StopGradient(x=x):
            return x
    return None
