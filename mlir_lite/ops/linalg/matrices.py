"""Type rules of linear algebra, and its batches: leading axes made one and back again."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ...errors import RunError, check
from ...ir import Value
from ...sizes import Shape
from ...types import Array, f32, f64
from ..shapes.shape import reshape


def check_matrices(x: Value, *, square: bool = True) -> None:
    """The type rule of an operand that holds matrices in its last two axes."""
    check(x.dtype in (f32, f64), f"takes f32 or f64, not {x.dtype}; write x.astype(ml.f32)")
    check(x.rank >= 2, f"takes matrices: rank 2 or more, not {x.rank}")
    rows, columns = x.shape[-2:]
    check(not square or rows == columns, f"takes square matrices, not {rows}x{columns}")


def as_batch(x: Value, kept: int = 2) -> Value:
    """All axes but the last `kept` ones as one; of known sizes."""
    shape = x.type.static_shape
    split = len(shape) - kept
    return reshape(x, (prod(shape[:split]), *shape[split:]))


def unbatched(x: Value, shape: Shape) -> Value:
    """The batch axis of a result as the axes that it was."""
    return reshape(x, (*shape, *x.shape[1:]))


def solved(compute: Callable[..., Any], message: str, *arguments: object) -> tuple[Array, ...]:
    """What a function of NumPy's gives; `RunError` where it finds a matrix singular or the like."""
    try:
        found = compute(*arguments)
    except np.linalg.LinAlgError as error:
        raise RunError(message) from error
    return tuple(map(np.asarray, found)) if isinstance(found, tuple) else (np.asarray(found),)
