"""What a region's kernel becomes on a target: one scheduled kernel on a CPU, on a graphics card
one a launch, with what they leave each other in buffers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...target import Target
from ...tile.nodes import Buffer, Kernel
from .recipes import schedule


@dataclass(frozen=True)
class Launches:
    """Kernels to call one after the other, whose parameters have the names of `params`, those of
    the naive kernel, or of `workspaces`, which mean nothing outside."""

    params: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    workspaces: tuple[Buffer, ...] = ()


def launches(kernel: Kernel, target: Target) -> Launches:
    """Schedule a naive kernel for a target; any kernel is accepted."""
    params = tuple(param.name for param in kernel.params)
    if target.gpu is None:
        return Launches(params, (schedule(kernel, target),))
    from .gpu import schedule_launches  # lazy: what a CPU never needs

    return Launches(params, *schedule_launches(kernel, target.gpu))
