"""Times and sizes as people read them."""

from __future__ import annotations

import pytest

from mlir_lite.cli.layout import seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.234e-5, "12.3 µs"),
        (0.9994e-3, "999 µs"),
        (0.9996e-3, "1 ms"),  # not 1e+03 µs
        (0.0456, "45.6 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (13.84, "13.84 s"),
    ],
)
def test_times_have_the_unit_that_they_round_to(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
