"""The rule of operations that hold functions: what these take is what they are run on."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import check
from ...ir import Function
from ...types import TensorType


def check_region(region: Function, types: Sequence[TensorType]) -> None:
    """The rule of a region's parameters: those of the operands it is run on."""
    wanted = tuple(param.type for param in region.params)
    check(
        wanted == tuple(types),
        f"@{region.name} takes {types_text(wanted)}, and is run on {types_text(types)}",
    )


def types_text(types: Sequence[TensorType]) -> str:
    """Types as messages show them: `(tensor<2xf32>, tensor<i64>)`."""
    return f"({', '.join(map(str, types))})"
