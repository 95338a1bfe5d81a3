"""Images made larger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ...errors import check
from ...ir import Value
from ...ops import resize
from .module import Module

T = TypeVar("T")

# torch's names of interpolations, and `ml.resize`'s.
_MODES: Mapping[str, str] = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
}


class Upsample(Module):
    """The spatial axes of `(batch, channels, *size)` resampled: to `size`, or by `scale_factor`.

    `mode` is "nearest", "linear" (also by torch's names, "bilinear", "trilinear") or "bicubic".
    """

    size: int | tuple[int, ...] | None = None
    scale_factor: float | tuple[float, ...] | None = None
    mode: str = "nearest"
    align_corners: bool = False

    def forward(self, x: Value) -> Value:
        one = (self.size is None) != (self.scale_factor is None)
        check(one, "Upsample takes either a size or a scale_factor")
        modes = ", ".join(_MODES)
        check(self.mode in _MODES, f"the mode '{self.mode}' is none of {modes}")
        mode = _MODES[self.mode]
        coordinates = "align_corners" if self.align_corners else "half_pixel"
        coordinates = "asymmetric" if mode == "nearest" else coordinates
        if self.scale_factor is not None:
            scales = (1.0, 1.0, *_per_axis(self.scale_factor, x.rank - 2))
            return resize(x, scales=scales, mode=mode, coordinates=coordinates, rounding="floor")
        assert self.size is not None
        shape = (*x.shape[:2], *_per_axis(self.size, x.rank - 2))
        return resize(x, shape, mode=mode, coordinates=coordinates, rounding="floor")


def _per_axis(entry: T | tuple[T, ...], count: int) -> tuple[T, ...]:
    return entry if isinstance(entry, tuple) else (entry,) * count
