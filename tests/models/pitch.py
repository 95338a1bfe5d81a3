"""Basic Pitch: two seconds of sound -> for every frame the probability that each key sounds."""

from functools import partial

import numpy as np

from .case import Answer, Case, RealModel
from .corpus import ModelFile

SAMPLE_RATE = 22050
SAMPLES = 43844
LOWEST_KEY = 21
"""MIDI number of a piano's lowest key, the first of the 88 columns."""


def frequency(key: int) -> float:
    """Hertz of a MIDI key in equal temperament, A4 = key 69 = 440 Hz."""
    return float(440 * 2 ** ((key - 69) / 12))


def check_keys(answer: Answer, keys: tuple[int, ...]) -> None:
    """On average over the frames, exactly the sounding key is likely, and the contour follows."""
    _onset, note, contour = answer.outputs
    likely = note.mean(axis=1)
    assert tuple(likely.argmax(axis=1) + LOWEST_KEY) == keys
    assert ((likely > 0.3).sum(axis=1) == 1).all()
    # Three contour columns a semitone, the middle one at the key's frequency.
    column = contour.mean(axis=1).argmax(axis=1)
    assert tuple(column // 3 + LOWEST_KEY) == keys


def case(*keys: int) -> Case:
    time = np.arange(SAMPLES) / SAMPLE_RATE
    sound = np.stack([0.5 * np.sin(2 * np.pi * frequency(key) * time) for key in keys])
    return Case(
        name="-".join(str(key) for key in keys),
        inputs={"serving_default_input_2:0": sound[..., np.newaxis].astype(np.float32)},
        check=partial(check_keys, keys=keys),
    )


MODEL = RealModel(
    name="basic pitch",
    file=ModelFile(
        package="basic-pitch",
        version="0.4.0",
        member="basic_pitch/saved_models/icassp_2022/nmp.onnx",
        sha256="2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
        licence="Apache-2.0",
    ),
    cases=(case(69), case(60, 76)),
)
