"""What a reader is: a function with the parameters of an operator, of values instead of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ....ir import Value

# A reader gives a value, or a tuple of them. Its parameters are those of the operator's schema.
Reader: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Typed:
    """A reader that takes before the operator's parameters the type of the result, or the list
    of the results' types, which torch has found with all their sizes."""

    function: Reader


@dataclass(frozen=True)
class Source:
    """Where an operator's random numbers come from: the call's seed, and a stream of its own."""

    seed: Value
    stream: int


@dataclass(frozen=True)
class Drawing:
    """A reader that takes a `Source` before the operator's parameters. There is one only where a
    call has a seed, that of `torch.compile`: a function of `from_torch` draws nothing."""

    function: Reader


AnyReader: TypeAlias = Reader | Typed | Drawing
