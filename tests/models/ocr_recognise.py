"""PP-OCRv4 text recognition: a strip of text -> at every step a probability a character."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .case import Answer, Case, RealModel
from .corpus import ModelFile
from .text_image import as_batch, strip


def read(probability: NDArray[np.float32], alphabet: list[str]) -> str:
    """Greedy CTC decoding of `[steps, classes]`: drop repetitions, then blanks (class 0)."""
    best = probability.argmax(axis=-1)
    changed = np.append(True, best[1:] != best[:-1])
    return "".join(alphabet[index - 1] for index in best[changed & (best != 0)])


def check_text(answer: Answer, texts: tuple[str, ...]) -> None:
    (probability,) = answer.outputs
    # The dictionary in the file leaves out the space, which is the last class.
    alphabet = [*answer.metadata["character"].splitlines(), " "]
    assert probability.shape[-1] == 1 + len(alphabet)
    assert tuple(read(image, alphabet) for image in probability) == texts


def case(width: int, *texts: str) -> Case:
    return Case(
        name=f"{len(texts)}x48x{width}",
        inputs={"x": as_batch(*(strip(text, width) for text in texts))},
        check=partial(check_text, texts=texts),
    )


MODEL = RealModel(
    name="PP-OCRv4 recognition",
    file=ModelFile(
        package="rapidocr-onnxruntime",
        version="1.4.4",
        member="rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        sha256="48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        licence="Apache-2.0",
    ),
    cases=(
        case(160, "compiler"),
        case(176, "matrix", "vector"),
        case(320, "tensors and loops"),
    ),
)
