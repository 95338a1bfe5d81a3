"""Running a function with each operation's own `reference`: the meaning every stage is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import RunError
from ..types import Array
from .function import Function
from .op import results_of
from .value import Node, Value


def run_reference(fn: Function, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results for these parameters, which must have the parameters' types."""
    values: dict[Value, Array] = dict(zip(fn.params, arrays, strict=True))
    last = {operand: node for node in fn.nodes for operand in node.op.operands}
    kept = set(fn.results)
    with np.errstate(all="ignore"):
        for node in fn.nodes:
            given = _results(node, values)
            values.update(zip(node.results, map(np.asarray, given), strict=True))
            for operand in set(node.op.operands):
                if last[operand] is node and operand not in kept:
                    del values[operand]
    return tuple(values[result] for result in fn.results)


def _results(node: Node, values: Mapping[Value, Array]) -> tuple[Array, ...]:
    """What an operation gives; a fault of its data is an error at the user's line."""
    try:
        return results_of(node.op.reference(*node.op.arguments(values)))
    except RunError as error:
        raise RunError(str(error), error.where or str(node.location)) from error
