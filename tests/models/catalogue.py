"""All real models, and their cases in the form that `pytest.mark.parametrize` takes."""

import pytest

from . import (
    file_type,
    ocr_detect,
    ocr_recognise,
    ocr_upright,
    page_orientation,
    pitch,
    sentence_meaning,
)

MODELS = (
    ocr_detect.MODEL,
    ocr_recognise.MODEL,
    ocr_upright.MODEL,
    page_orientation.MODEL,
    sentence_meaning.MODEL,
    file_type.MODEL,
    pitch.MODEL,
)

every_case = pytest.mark.parametrize(
    ("model", "case"),
    [
        pytest.param(model, case, id=f"{model.name}-{case.name}".replace(" ", "-"))
        for model in MODELS
        for case in model.cases
    ],
    scope="module",
)
