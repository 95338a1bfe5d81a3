"""The demo: the trained digit classifier."""

import numpy as np

import mlir_lite as ml
from mlir_lite.demo import model
from mlir_lite.demo.assets import load, load_training


def test_digits_are_recognised_as_well_as_when_they_were_trained() -> None:
    assets = load()
    scores = ml.evaluate(model.digits(), assets.images)
    wrong = np.flatnonzero(np.argmax(scores, axis=1) != assets.labels)
    assert len(assets.labels) == 360
    assert len(wrong) == 2  # as `examples/09_train_digits.py` measured


def test_it_was_trained_on_other_images() -> None:
    seen = {image.tobytes() for image in load_training().images}
    assert len(load_training().labels) == 1437
    assert not seen & {image.tobytes() for image in load().images}


def test_its_operations_are_shown_at_its_own_lines() -> None:
    files = {node.location.file for node in model.digits().nodes if node.op.operands}
    assert files == {model.__file__}
