"""Whether results are right: against float64, as far as rounding may take them from it."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np

from mlir_lite import Function
from mlir_lite.ir import run_reference
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.types import Array

from .double import in_double


class Truth:
    """What a program gives for its inputs, and how far from it one may be.

    A float may be as far off as four times the references' own results in its type, or 16 ε of the
    largest element (64 ε of f64, of which the references are no better): the references round
    after each operation, in the same types. Winograd's algorithm, which is chosen by default, may
    lose 1e-5 in f32. NaN, infinities and, where `special`, the values of finite ones are those of
    the references in the own types, as what overflows in f32 does not in f64.
    """

    def __init__(self, fn: Function, arrays: Sequence[Array], *, special: bool = False) -> None:
        self.own = run_reference(fn, arrays)
        self.exact = self.own if special else in_double(fn, arrays)
        self.least = 1e-5 if any(isinstance(node.op, Conv) for node in fn.nodes) else 0.0

    def wrong(
        self, results: Sequence[Array], least: float = 0.0, first: int = 0, floor: float = 0.0
    ) -> str:
        """What is wrong with results from the `first` on, or nothing; errors of `least` of the
        largest element are allowed, and of `floor` whatever it is."""
        if len(results) != len(self.own):
            return f"{len(results)} results, not {len(self.own)}"
        least = max(least, self.least)
        together = zip(results, self.own, self.exact, strict=True)
        for position, (have, own, exact) in enumerate(together):
            found = _wrong(have, own, exact, least, floor) if position >= first else ""
            if found:
                return f"result {position}: {found}"
        return ""


def _wrong(have: Array, own: Array, exact: Array, least: float, floor: float) -> str:
    if have.dtype != own.dtype or have.shape != own.shape:
        return f"{have.dtype}{have.shape}, not {own.dtype}{own.shape}"
    if own.dtype.kind in "iub":
        differing = np.argwhere(have != own)
        if len(differing) == 0:
            return ""
        at = tuple(int(place) for place in differing[0])
        return f"{len(differing)} elements differ, at {at} {have[at]}, not {own[at]}"
    wide, mine = have.astype(np.float64), own.astype(np.float64)
    finite = np.isfinite(mine)
    odd = ~finite & ~((wide == mine) | (np.isnan(wide) & np.isnan(mine)))
    odd |= finite & ~np.isfinite(wide)
    if np.any(odd):
        at = tuple(int(place) for place in np.argwhere(odd)[0])
        return f"{np.sum(odd)} elements, at {at} {wide[at]}, not {mine[at]}"
    truth = np.where(finite, exact.astype(np.float64), 0.0)
    apart = np.abs(np.where(finite, wide, 0.0) - truth)
    largest = float(np.max(np.abs(truth), initial=0.0))
    noise = float(np.max(np.abs(np.where(finite, mine, 0.0) - truth), initial=0.0))
    epsilon = float(ml_dtypes.finfo(own.dtype).eps)
    tiny = float(ml_dtypes.finfo(own.dtype).smallest_subnormal)
    units = 64 if own.dtype == np.float64 else 16
    allowed = max(4 * noise, units * epsilon * largest, least * largest, floor, 4 * tiny)
    error = float(np.max(apart, initial=0.0))
    if error <= allowed:
        return ""
    at = tuple(int(place) for place in np.unravel_index(int(np.argmax(apart)), apart.shape))
    return f"off by {error:.3g} of {largest:.3g}, {allowed:.3g} allowed; at {at} {wide[at]}"
