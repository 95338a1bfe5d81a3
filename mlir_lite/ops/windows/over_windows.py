"""The bases of operations over spatial axes: what follows from a layout, and from windows in it."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from ...ir import Op, Value
from .windows import Padding, Windows, permuted_layout, spatial_of, windows_of


class LaidOut(Op):
    """Its attribute `layout` names the order of the axes of all its batches of images."""

    layout: str

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        """The same in another layout; None where `perm` leads to none that has a name."""
        layout = permuted_layout(self.layout, perm)
        if layout is None:
            return None
        # Every `@op` class is a dataclass, which this one cannot say.
        made: Op = dataclasses.replace(typing.cast(Any, self), layout=layout)
        return made


class OverWindows(LaidOut):
    """It sees `x`, `(batch, channels, *size)`, through windows."""

    x: Value
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    ceil_mode: bool

    def windows(self) -> Windows:
        """The windows along each spatial axis."""
        size = spatial_of(self.x.shape, self.layout)
        steps = self.strides, self.padding, self.dilations
        return windows_of(size, self.window, *steps, self.ceil_mode)
