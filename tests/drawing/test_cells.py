"""Places in a layer: in order, far enough apart, and no others are nearer to those wanted."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.drawing.cells import nearest_apart


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("seed", range(5))
def test_places_are_the_nearest_that_are_apart(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    wanted = random.uniform(0, 100, count)
    weights = random.uniform(0.1, 8, count)
    distances = random.uniform(5, 40, count - 1)
    places = np.array(nearest_apart(list(wanted), list(weights), list(distances)))
    assert np.all(np.diff(places) >= distances - 1e-9)

    def cost(at: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        return float(np.sum(weights * (at - wanted) ** 2))

    for _ in range(300):  # a convex problem: what is best nearby is best
        near = places + random.normal(0, 0.5, count)
        near[1:] = np.maximum.accumulate(near - np.cumsum([0, *distances]))[1:] + np.cumsum(
            distances
        )
        assert cost(near) >= cost(places) - 1e-9
