"""Images resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .... import ops
from ....ir import Value
from ....types import TensorType
from .typed import Reader, Typed

_PADDINGS = ("zeros", "border", "reflection")


def _nearest(coordinates: str, rounding: str) -> Reader:
    """The reader of the nearest element: sizes, or factors, as the overload has them."""

    def read(wanted: TensorType, x: Value, *args: object, **named: object) -> Value:
        scales = _scales(x, args, named)
        return ops.resize(
            x, wanted.shape, scales=scales, mode="nearest", coordinates=coordinates,
            rounding=rounding,
        )  # fmt: skip

    return read


def smooth(mode: str) -> Reader:
    """The reader of interpolation between elements."""

    def read(
        wanted: TensorType, x: Value, size: object, align: bool, *args: object, **named: object
    ) -> Value:
        scales = _scales(x, (size, *args), named)
        coordinates = "align_corners" if align else "half_pixel"
        return ops.resize(
            x, wanted.shape, scales=scales, mode=mode, coordinates=coordinates
        )

    return read


def _scales(x: Value, args: Sequence[object], named: Mapping[str, object]) -> Sequence[float]:
    """The factors that are given, one for each axis; else they follow from the sizes."""
    given = [entry for entry in (*args[1:], *named.values()) if entry is not None]
    factors: list[float] = []
    for entry in given:
        factors += entry if isinstance(entry, list) else [entry] if isinstance(entry, float) else []
    return [1.0] * (x.rank - len(factors)) + factors if factors else ()


def grid_sample(x: Value, grid: Value, mode: int, padding: int, align: bool) -> Value:
    """Elements at places that a grid says, from -1 to 1."""
    names = ("bilinear", "nearest", "bicubic")
    return ops.grid_sample(
        x, grid, mode=names[mode], padding=_PADDINGS[padding], align_corners=align
    )


EXACT = _nearest("half_pixel", "round_prefer_ceil")
FLOOR = _nearest("asymmetric", "floor")

READERS: Mapping[str, Reader | Typed] = {
    **{f"aten._upsample_nearest_exact{n}d": Typed(EXACT) for n in (1, 2, 3)},
    **{f"aten.upsample_nearest{n}d": Typed(FLOOR) for n in (1, 2, 3)},
    "aten.grid_sampler_2d": grid_sample,
    "aten.grid_sampler_3d": grid_sample,
    "aten.upsample_bicubic2d": Typed(smooth("cubic")),
    "aten.upsample_bilinear2d": Typed(smooth("linear")),
    "aten.upsample_linear1d": Typed(smooth("linear")),
    "aten.upsample_trilinear3d": Typed(smooth("linear")),
}
