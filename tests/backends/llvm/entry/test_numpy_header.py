"""Reading array objects where NumPy keeps their fields."""

from __future__ import annotations

import dataclasses

import numpy as np

from mlir_lite.backends.llvm.entry.numpy_header import (
    ArrayHeader,
    array_header,
    describes,
    expected_header,
)


def test_the_layout_of_arrays_is_known_here() -> None:
    assert array_header() == expected_header()


def test_a_wrong_layout_is_noticed() -> None:
    array = np.zeros((3, 5), np.float32)
    header = expected_header()
    assert describes(header, array)
    for field in dataclasses.fields(ArrayHeader):
        moved = dataclasses.replace(header, **{field.name: getattr(header, field.name) + 8})
        assert not describes(moved, array), field.name
