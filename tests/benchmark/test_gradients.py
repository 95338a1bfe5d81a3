"""The benchmark of convolutions' gradients: its results, and a line of its table."""

from __future__ import annotations

import pytest

from mlir_lite.cli import runners

from . import gradients
from .layers import Convolution
from .measure import Timing


@pytest.mark.parametrize(
    "layer",
    [
        Convolution(3, 5, 3, 7),
        Convolution(4, 3, 1, 5),
        Convolution(3, 4, 5, 8, stride=2),
        Convolution(6, 6, 3, 9, stride=2, depthwise=True),
    ],
    ids=lambda layer: layer.name,
)
def test_gradients_of_convolutions_give_what_float64_gives(
    layer: Convolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "BLOCK_SECONDS", 1e-5)
    wanted = gradients.in_float64(layer, images=2)
    found = gradients.measured(layer, wanted, threads=1, repeat=1)
    # Sums of up to 128 products.
    assert all(0 < timing.error < 2e-6 for timing in found.values()), found


def test_gradients_have_a_share_of_the_rate() -> None:
    layer = Convolution(64, 256, 1, 56)
    found = {
        gradients.FORWARD: Timing(2e-3, 1e-7),
        gradients.INPUT: Timing(1e-3, 3e-7),
        gradients.WEIGHT: Timing(4e-3, 2e-7),
    }
    assert gradients.cells(layer, 2, found, flops=10**9) == [
        "conv1x1_64_256_56", "2", "2 ms", "500", "1 ms", "1000", "200%", "4 ms", "250", "50%",
        "3.0e-07",
    ]  # fmt: skip
