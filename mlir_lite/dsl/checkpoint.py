"""Checkpoints of Python functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from ..errors import check
from ..ir import current_builder
from ..ops.regions.checkpoint import Checkpoint
from .region import trace
from .structure import filled, values_of

P = ParamSpec("P")
R = TypeVar("R")


def checkpoint(function: Callable[P, R]) -> Callable[P, R]:
    """The same function of values, with what it computes inside not kept for the gradient.

        h = ml.checkpoint(block)(h)

    The gradient computes it again from the arguments and from what the function takes from around
    it (as `jax.checkpoint` and `torch.utils.checkpoint` do): less memory for more time. Arguments
    and results are values, or tuples, lists or dictionaries of values.
    """

    def checkpointed(*args: P.args, **kwargs: P.kwargs) -> R:
        check(not kwargs, "a checkpoint takes its values by position")
        given = values_of(args, "an argument of a checkpoint")
        types = filled(args, [value.type for value in given])
        parts = [(f"x{number}", entry) for number, entry in enumerate(types)]
        traced = trace(getattr(function, "__name__", "checkpoint"), function, parts)
        inputs = (*given, *traced.captured)
        results = current_builder().emit(Checkpoint(inputs, traced.taking(traced.captured)))
        return cast(R, filled(traced.returned, results))

    return checkpointed
