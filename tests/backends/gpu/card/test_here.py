"""The target "cuda": the card that is here, for which the CPU stands in."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, UnsupportedError, Value, f32, i64
from mlir_lite.backends.cuda import backend
from mlir_lite.backends.cuda.card import here
from mlir_lite.target import nearest_card

from ..shim import needs_shim
from ..shim_card import ShimCard

pytestmark = needs_shim


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> ShimCard:
    card = ShimCard()
    for module in (backend, here):
        monkeypatch.setattr(module, "found_card", lambda: card)
    here._uploads.cache_clear()
    return card


@ml.function(f32["n", 4], f32[4])
def scaled(x: Value, y: Value) -> Value:
    return ml.exp(x) * y


def test_the_card_here_is_compiled_for(shim: ShimCard) -> None:
    run = ml.compile(scaled, target="cuda")
    x, y = np.ones((3, 4), np.float32), np.full(4, 2.0, np.float32)
    np.testing.assert_allclose(run(x, y), np.exp(x) * y, rtol=1e-5)
    assert "for cuda:sm_90" in run.stages["cuda"]
    with pytest.raises(InputError, match="scaled"):
        run(x, y, y)


def test_named_sizes_are_those_of_arrays_on_the_card(shim: ShimCard) -> None:
    run = ml.compile(scaled, target="cuda")
    y = ml.to_device(np.full(4, 2.0, np.float32))
    for size in (3, 5, 3):
        x = np.ones((size, 4), np.float32)
        for result in (run(ml.to_device(x), y), run(y=y, x=x)):
            assert isinstance(result, ml.DeviceArray)
            np.testing.assert_allclose(result.numpy(), np.exp(x) * 2, rtol=1e-5)
    assert shim.built == 2


def test_values_that_decide_sizes_are_of_the_host(shim: ShimCard) -> None:
    @ml.function(f32[3], i64[()], static=["n"])
    def repeated(x: Value, n: Value) -> Value:
        return x * 2.0

    run = ml.compile(repeated, target="cuda")
    x, n = np.ones(3, np.float32), np.array(2)
    np.testing.assert_array_equal(run(ml.to_device(x), n).numpy(), 2 * x)
    with pytest.raises(InputError, match="parameter 'n'"):
        run(x, ml.to_device(n))


def test_a_card_that_is_not_known_gets_the_code_of_the_nearest() -> None:
    assert nearest_card(80) == "cuda:sm_80"
    assert nearest_card(87) == "cuda:sm_86"
    assert nearest_card(103) == "cuda:sm_100"
    assert nearest_card(130) == "cuda:sm_120"
    with pytest.raises(UnsupportedError, match="the card here is sm_75; the oldest that is known"):
        nearest_card(75)
