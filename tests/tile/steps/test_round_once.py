"""Functions that are rounded to bf16 at once, and those that are not."""

from __future__ import annotations

import pytest

from mlir_lite.tile.steps.round_once import round_once

from .stepping import expect_step

KERNEL = """
kernel @k(%x: f32[9], %y: out {dtype}[9]) {{
  for i in 0..9 {{ y[i] = {value} }}
}}"""


@pytest.mark.parametrize("value", ["bf16({}(x[i]))", "bf16(flush({}(x[i] * 3.0)))"])
def test_a_gelu_that_is_rounded_at_once_is_computed_for_that(value: str) -> None:
    before, after = (
        KERNEL.format(dtype="bf16", value=value.format(name)) for name in ("gelu", "gelu_bf16")
    )
    expect_step(round_once, before, after)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("f32", "gelu(x[i])"),
        ("bf16", "bf16(gelu(x[i]) + 1.0)"),  # a sum may be small where its terms are not
        ("bf16", "bf16(erf(x[i]))"),
        ("f32", "f32(f16(gelu(x[i])))"),
    ],
)
def test_others_stay(dtype: str, value: str) -> None:
    same = KERNEL.format(dtype=dtype, value=value)
    expect_step(round_once, same, same)
