"""What a reader is: a function with the parameters of an operator, of values instead of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

# A reader gives a value, or a tuple of them. Its parameters are those of the operator's schema.
Reader: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Typed:
    """A reader that takes before the operator's parameters the type of the result, which torch
    has found with all its sizes."""

    function: Reader
