"""`fit`: the loop, its checkpoints to the bit, its history, and what is shown of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, f32, train
from mlir_lite.types import Array

from .small import Small, examples


def _fit(
    epochs: int, checkpoint: Path | None = None, seed: int = 0, show: bool = False
) -> train.Fitted:
    x, t = examples(50)  # not a multiple of the batch
    return train.fit(
        Small(),
        ml.cross_entropy,
        train.AdamW(train.WarmUp(train.Cosine(0.05, 12), 2)),
        (x, t),
        epochs=epochs,
        batch_size=16,
        validation=(x[:7], t[:7]),
        metrics={"accuracy": train.accuracy},
        transform=_noisy,
        checkpoint=checkpoint,
        seed=seed,
        show=show,
        threads=1,
    )


def _noisy(random: np.random.Generator, x: Array, t: Array) -> tuple[Array, Array]:
    return x + 0.01 * random.standard_normal(x.shape, np.float32), t


def _bits(fitted: train.Fitted) -> dict[str, bytes]:
    state = fitted.trainer._state
    arrays = {**state.on_host(state), **fitted.history.to_arrays()}
    return {name: array.tobytes() for name, array in arrays.items()}


def test_resumed_training_is_training_that_was_not_interrupted(tmp_path: Path) -> None:
    whole = _fit(4)
    _fit(2, tmp_path / "half.safetensors")
    resumed = _fit(4, tmp_path / "half.safetensors")
    assert _bits(resumed) == _bits(whole)
    assert resumed.trainer.steps == 12
    assert _bits(_fit(4, seed=1)) != _bits(whole)


def test_history_has_steps_and_epochs() -> None:
    history = _fit(2).history
    assert {name: len(values) for name, values in history.steps.items()} == {
        "loss": 6,
        "accuracy": 6,
    }
    assert list(history.epochs) == ["loss", "accuracy", "validation loss", "validation accuracy"]
    np.testing.assert_allclose(history.epochs["loss"][1], history.steps["loss"][3:].mean())


def test_validation_is_the_mean_over_all_examples_in_evaluation() -> None:
    fitted = _fit(1)
    x, t = examples(50)
    classify = ml.function(Small(), f32[50, 5]).bind(fitted.weights)
    scores = np.asarray(ml.evaluate(classify, x))
    evaluator = train.Evaluator(Small(), {"accuracy": train.accuracy}, (x, t), 16, threads=1)
    found = evaluator(fitted.weights)["accuracy"]
    np.testing.assert_allclose(found, np.mean(scores.argmax(1) == t), rtol=1e-6)


def test_training_ends_when_it_is_told_to() -> None:
    x, t = examples(32)
    fitted = train.fit(
        Small(),
        ml.cross_entropy,
        train.SGD(0.1),
        (x, t),
        epochs=9,
        batch_size=16,
        after_epoch=lambda trainer, history: len(history.epochs["loss"]) == 2,
        threads=1,
    )
    assert fitted.trainer.steps == 4


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    _fit(1, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="was made with seed 0, not 1"):
        _fit(1, tmp_path / "c.safetensors", seed=1)


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path: Path) -> None:
    train.save_arrays(tmp_path / "c.safetensors", Small().init(0), {"seed": "0"})
    with pytest.raises(InputError, match=r"lacks first\.weight\.exp_avg, "):
        _fit(1, tmp_path / "c.safetensors")


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, old = tmp_path / "c.safetensors", {"x": np.arange(5.0)}
    train.save_arrays(path, old, {"seed": "3"})
    for stage in ("fsync", "replace"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(os, stage, _interrupted)
            train.save_arrays(path, {"x": np.zeros(5)})
        arrays, notes = train.load_arrays(path)
        np.testing.assert_array_equal(arrays["x"], old["x"])
        assert notes == {"seed": "3"}
        assert os.listdir(tmp_path) == ["c.safetensors"]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """The process dies in the middle of the data."""
    path = tmp_path / "c.safetensors"
    train.save_arrays(path, {"x": np.arange(5.0)})
    program = (
        "import os, sys, numpy as np\n"
        "from mlir_lite import train\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "train.save_arrays(sys.argv[1], {'x': np.zeros(1 << 20)})\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 9
    np.testing.assert_array_equal(train.load_arrays(path)[0]["x"], np.arange(5.0))


def test_batches_are_the_seeds_and_the_epochs() -> None:
    data = (np.arange(10), np.arange(10) * 2)
    batches = train.Batches(data, 4, seed=1)
    assert len(batches) == 3
    first = [x.tolist() for x, _ in batches.epoch(0)]
    assert sorted(number for batch in first for number in batch) == list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert [x.tolist() for x, _ in batches.epoch(0)] == first
    assert [x.tolist() for x, _ in batches.epoch(1)] != first
    assert all((y == 2 * x).all() for x, y in batches.epoch(2))
    later = [x.tolist() for x, _ in batches.epochs(2, done=1)]
    assert later == first[1:] + [x.tolist() for x, _ in batches.epoch(1)]


def test_what_does_not_fill_a_batch_may_be_left() -> None:
    batches = train.Batches((np.arange(10),), 4, drop_last=True)
    assert [len(x) for (x,) in batches.epoch(0)] == [4, 4]
    with pytest.raises(InputError, match="10 examples do not fill a batch of 11"):
        train.Batches((np.arange(10),), 11, drop_last=True)
    with pytest.raises(InputError, match=r"arrays of \[3, 4\] examples do not go together"):
        train.Batches((np.arange(3), np.arange(4)), 2)


def test_the_picture_is_svg_with_a_line_for_each_measure(tmp_path: Path) -> None:
    history = _fit(2).history
    history.plot(tmp_path / "h.svg")
    lines = ElementTree.parse(tmp_path / "h.svg").findall(".//{*}polyline")
    assert len(lines) == 6  # two panels: steps, epochs, validation
    assert all(len(line.attrib["points"].split()) in (2, 6) for line in lines)


def test_a_picture_of_nothing_finite(tmp_path: Path) -> None:
    history = train.History()
    history.add_step({"loss": float("nan")})
    history.plot(tmp_path / "h.svg")
    assert ElementTree.parse(tmp_path / "h.svg").getroot().tag.endswith("svg")


def test_nothing_is_shown_unless_it_is_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    _fit(1)
    assert capfd.readouterr() == ("", "")
    _fit(1, show=True)
    assert "epoch 1/1: loss" in capfd.readouterr().err


def test_without_rich_lines_are_shown(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlir_lite.train.progress.find_spec", lambda name: None)
    _fit(1, show=True)
    assert "examples/s" in capfd.readouterr().err
