"""Axes as users write them: negative ones count from the end."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...ir import Axes


def normal_axis(axis: int, rank: int) -> int:
    """The axis as a number in [0, rank)."""
    check(isinstance(axis, (int, np.integer)), f"an axis is a whole number, not {axis!r}")
    check(-rank <= axis < rank, f"there is no axis {axis} in a tensor of rank {rank}")
    return int(axis) % rank


def normal_axes(axes: Axes, rank: int) -> tuple[int, ...]:
    """The axes in ascending order; None stands for all of them."""
    if axes is None:
        return tuple(range(rank))
    given = (axes,) if isinstance(axes, (int, float, np.number)) else tuple(axes)
    found = sorted(normal_axis(axis, rank) for axis in given)
    check(len(set(found)) == len(found), f"an axis is repeated in {given}")
    return tuple(found)


def check_axes(axes: tuple[int, ...], rank: int) -> None:
    """The type rule of an attribute that holds ascending axes."""
    check(axes == normal_axes(axes, rank), f"the axes {axes} are not ascending in [0, {rank})")


def check_axis(axis: int, rank: int) -> None:
    """The type rule of an attribute that holds one axis."""
    check(0 <= axis < rank, f"there is no axis {axis} in a tensor of rank {rank}")


def permuted_axes(axes: tuple[int, ...], perm: tuple[int, ...]) -> tuple[int, ...]:
    """Where axes of a tensor are after its transpose by `perm`."""
    return tuple(sorted(perm.index(axis) for axis in axes))
