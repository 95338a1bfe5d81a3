"""PP-OCRv4 text detection: an image -> for every pixel the probability that it is inside text."""

from functools import partial

import numpy as np

from .case import Answer, Case, RealModel
from .corpus import ModelFile
from .text_image import Line, as_batch, render

THRESHOLD = 0.3
"""The probability from which on the package counts a pixel as text."""


def check_mask(answer: Answer, lines: tuple[Line, ...]) -> None:
    """The mask covers the core of every line and nothing away from the lines.

    The network is trained on text regions shrunk by about 0.4 of their height (Liao et al., Real-
    time Scene Text Detection with Differentiable Binarization, AAAI 2020, section 3.5).
    """
    (probability,) = answer.outputs
    mask = probability[0, 0] > THRESHOLD
    elsewhere = np.ones_like(mask)
    for line in lines:
        left, upper, right, lower = line.box()
        inset = round(0.45 * (lower - upper))
        core = mask[upper + inset : lower - inset, left + 2 * inset : right - 2 * inset]
        assert core.size
        assert core.mean() > 0.95, f"the mask misses {line.text!r}"
        elsewhere[max(upper - 8, 0) : lower + 8, max(left - 8, 0) : right + 8] = False
    assert not (mask & elsewhere).any(), "text is seen where there is none"


def case(height: int, width: int, *lines: Line) -> Case:
    return Case(
        name=f"{height}x{width}",
        inputs={"x": as_batch(render(height, width, lines))},
        check=partial(check_mask, lines=lines),
    )


MODEL = RealModel(
    name="PP-OCRv4 detection",
    file=ModelFile(
        package="rapidocr-onnxruntime",
        version="1.4.4",
        member="rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        sha256="d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        licence="Apache-2.0",
    ),
    cases=(
        case(64, 320, Line("Hello, world 42", 20, 18, 28)),
        case(160, 224, Line("matrix multiply", 16, 20, 24), Line("tile", 60, 100, 28)),
        case(
            224,
            288,
            Line("graph of tensors", 20, 20, 30),
            Line("loops", 60, 90, 30),
            Line("machine code", 30, 160, 30),
        ),
    ),
)
