"""Training on a card: the state stays there, and can be saved and taken up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32, i64, nn, train
from mlir_lite.backends.cuda import backend
from mlir_lite.backends.cuda.card import here

from ..shim import needs_shim
from ..shim_card import ShimCard

pytestmark = needs_shim


@pytest.fixture(autouse=True)
def shim(monkeypatch: pytest.MonkeyPatch) -> ShimCard:
    card = ShimCard(late=True)
    for module in (backend, here):
        monkeypatch.setattr(module, "found_card", lambda: card)
    here._uploads.cache_clear()
    return card


class Net(nn.Module):
    """Two layers."""

    first: nn.Linear = nn.Linear(5, 8)
    second: nn.Linear = nn.Linear(8, 3)

    def forward(self, x: Value) -> Value:
        return self.second(ml.tanh(self.first(x)))


STEP = train.step(
    Net(), ml.cross_entropy, train.Adam(0.05), inputs=f32["batch", 5], targets=i64["batch"]
)
RANDOM = np.random.default_rng(0)
X, T = RANDOM.standard_normal((12, 5)).astype(np.float32), RANDOM.integers(0, 3, 12)


def losses(trainer: train.Trainer, count: int) -> list[float]:
    return [trainer(X, T)["loss"] for _ in range(count)]


def test_a_card_trains_as_the_cpu_does(shim: ShimCard) -> None:
    first = Net().init(0)
    card = train.Trainer(STEP, first, target="cuda")
    cpu = train.Trainer(STEP, first, threads=1)
    np.testing.assert_allclose(losses(card, 3), losses(cpu, 3), rtol=1e-4)
    memory = sorted(shim.sizes.values())
    np.testing.assert_allclose(losses(card, 3), losses(cpu, 3), rtol=1e-4)
    assert sorted(shim.sizes.values()) == memory
    assert card.steps == cpu.steps == 6
    for name, array in card.state_dict().items():
        np.testing.assert_allclose(array, cpu.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_training_goes_on_from_a_file(tmp_path: Path) -> None:
    one = train.Trainer(STEP, Net().init(0), target="cuda")
    losses(one, 2)
    one.save(tmp_path / "state.safetensors")
    other = train.Trainer(STEP, Net().init(1), target="cuda")
    other.load(tmp_path / "state.safetensors")
    assert losses(one, 2) == losses(other, 2)
    other.load_state_dict(Net().init(0))
    assert other.state_dict()["first.weight"].tobytes() == Net().init(0)["first.weight"].tobytes()


def test_fit_on_a_card() -> None:
    fitted = train.fit(
        Net(), ml.cross_entropy, train.Adam(0.05), (X, T), epochs=2, batch_size=4,
        validation=(X, T), show=False, target="cuda",
    )  # fmt: skip
    assert fitted.trainer.steps == 6
