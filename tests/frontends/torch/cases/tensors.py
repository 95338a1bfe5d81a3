"""The tensors that operators are compared at, and what a case is.

Two tensors of one shape and kind are different ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

Tensor = Any  # torch has no static types here

# A function, and what it is called with; and those of a family, by what they have in common.
Call: TypeAlias = tuple[Callable[..., Any], tuple[Tensor, ...]]
Calls: TypeAlias = Mapping[str, Sequence[Call]]

_SOURCE = torch.Generator().manual_seed(0)


def r(*shape: int, dtype: Any = None) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=_SOURCE).to(dtype or torch.float32)


def p(*shape: int) -> Tensor:
    """Numbers from 0.1 to 1.1."""
    return torch.rand(shape, generator=_SOURCE) + 0.1


def i(high: int, *shape: int, low: int = 0, dtype: Any = torch.int64) -> Tensor:
    """Integers below `high`."""
    return torch.randint(low, high, shape, generator=_SOURCE).to(dtype)


def b(*shape: int) -> Tensor:
    """Bools."""
    return torch.randint(0, 2, shape, generator=_SOURCE).bool()


def v(*numbers: Any, dtype: Any = None) -> Tensor:
    """A vector of these."""
    return torch.tensor(numbers, dtype=dtype)


INF, NAN = math.inf, math.nan
HALF = torch.bfloat16
SPECIAL = v(-INF, -1.5, -0.0, 0.0, 0.5, 2.5, INF, NAN)
