"""Whether results are as near as their element type allows."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np

from mlir_lite.types import Array


def assert_close(actual: Sequence[Array], expected: Sequence[Array]) -> None:
    """Equal for integers and bools; for floats within 8 ε of the largest finite result.

    NaN and infinities must stand in the same places. 8 ε is what a sum of some tens of elements
    loses, or a handful of roundings one after the other; in f64, where the reference rounds as
    often as what is tested, twice that.
    """
    assert len(actual) == len(expected)
    for have, want in zip(actual, expected, strict=True):
        assert have.dtype == want.dtype, f"{have.dtype}, not {want.dtype}"
        assert have.shape == want.shape, f"{have.shape}, not {want.shape}"
        if want.dtype.kind in "iub":
            np.testing.assert_array_equal(have, want)
            continue
        wide, exact = have.astype(np.float64), want.astype(np.float64)
        finite = np.isfinite(exact)
        np.testing.assert_array_equal(wide[~finite], exact[~finite])
        largest = np.max(np.abs(exact[finite]), initial=1e-30)
        error = np.max(np.abs(wide[finite] - exact[finite]), initial=0)
        factor = 16 if want.dtype == np.float64 else 8
        allowed = factor * float(ml_dtypes.finfo(want.dtype).eps) * largest
        assert error <= allowed, f"an error of {error}, where {allowed} is allowed"
