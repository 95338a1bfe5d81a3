"""Which changes a program for a CPU goes through, in which order. This file is the whole story."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ...target import Target
from ...tile.nodes import Kernel
from ...tile.program import Program
from .beside import beside
from .in_blocks import in_blocks
from .prefetch_inputs import prefetch_inputs
from .previous_rows import previous_rows
from .resident import resident
from .share_moves import share_moves
from .skip_padding import skip_padding
from .variants import Changed


def change_program(program: Program, naive: Mapping[str, Kernel], target: Target) -> Changed:
    """The program after all changes; one for a graphics card, whose launches are settled by their
    kernels, as it is. `naive` has the kernels as they were before they were scheduled."""
    if target.gpu is not None:
        return program, {}
    changes: tuple[Callable[[Program], Changed], ...] = (
        partial(resident, target=target),
        previous_rows,
        partial(beside, naive=naive, target=target),
        partial(in_blocks, naive=naive, target=target),
        partial(skip_padding, naive=naive),
        partial(prefetch_inputs, target=target),
        partial(share_moves, target=target),
    )
    originals: dict[str, str] = {}
    for change in changes:
        program, added = change(program)
        originals.update(added)
    return program, originals
