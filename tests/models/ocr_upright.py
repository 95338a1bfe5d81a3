"""PP-OCR text-line direction: a strip of text -> probabilities of 0 and of 180 degrees."""

import numpy as np

from .case import Answer, Case, RealModel
from .corpus import ModelFile
from .text_image import as_batch, strip


def check_direction(answer: Answer) -> None:
    """The first strip stands upright, the second upside down."""
    (probability,) = answer.outputs
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    assert probability[0, 0] > 0.9, "an upright line is taken for a turned one"
    assert probability[1, 1] > 0.9, "a turned line is taken for an upright one"


def case(width: int) -> Case:
    upright = strip("Tile IR 16", width)
    return Case(
        name=f"48x{width}",
        inputs={"x": as_batch(upright, np.rot90(upright, 2))},
        check=check_direction,
    )


MODEL = RealModel(
    name="PP-OCR direction",
    file=ModelFile(
        package="rapidocr-onnxruntime",
        version="1.4.4",
        member="rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        sha256="e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        licence="Apache-2.0",
    ),
    cases=(case(160), case(192), case(256)),
)
