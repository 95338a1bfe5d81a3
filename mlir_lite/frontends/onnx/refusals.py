"""What to say of operators that no function of tensors of known sizes can be, and what to do
instead."""

from __future__ import annotations

from collections.abc import Mapping

_SELECTED = (
    "how much it selects depends on the data, and sizes are known before the data here; end the "
    "model at what it reads and select outside"
)
_SEQUENCES = "there are no sequences of tensors; Split, Concat and Loop have tensors alone"
_OPTIONALS = "there is nothing that may be a tensor or not; give the model the tensor"
_TEXTS = "there are no texts; give the model what it makes of them"
_FILES = "there are no compressed images; give the model the pixels"

REFUSALS: Mapping[str, str] = {
    "NonMaxSuppression": f"{_SELECTED} (TopK keeps a fixed number of boxes by their scores)",
    "Unique": _SELECTED,
    **dict.fromkeys(
        (
            "ConcatFromSequence",
            "SequenceAt",
            "SequenceConstruct",
            "SequenceEmpty",
            "SequenceErase",
            "SequenceInsert",
            "SequenceLength",
            "SequenceMap",
            "SplitToSequence",
        ),
        _SEQUENCES,
    ),
    **dict.fromkeys(("Optional", "OptionalGetElement", "OptionalHasElement"), _OPTIONALS),
    **dict.fromkeys(
        (
            "RegexFullMatch",
            "StringConcat",
            "StringNormalizer",
            "StringSplit",
            "TfIdfVectorizer",
        ),
        _TEXTS,
    ),
    "ImageDecoder": _FILES,
}


def refusal(domain: str, op_type: str) -> str:
    """Why no reader reads an operator."""
    if domain == "ai.onnx.ml":
        return "trees, linear models and what prepares tables for them are not read, networks are"
    known = {} if domain else REFUSALS
    return known.get(op_type, "this operator is not supported")
