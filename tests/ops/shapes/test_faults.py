"""An index out of range is found, and nothing outside of a tensor is read or written."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.ops.shapes.index import Gather, GatherElements, GatherNd
from mlir_lite.ops.shapes.scatter import ScatterElements, ScatterNd
from mlir_lite.types import f32

from ..run_naive import fault_found, run_body, run_own_kernel
from ..sample import Sample, normal
from ..samples.index import INDEX

_X = normal((5, 3), f32)


@pytest.mark.parametrize("sample", INDEX, ids=str)
def test_indices_in_range_are_no_fault(sample: Sample) -> None:
    assert not fault_found(sample)


@pytest.mark.parametrize("wrong", [5, -6, 2**40, -(2**63)])
def test_a_read_out_of_range_is_a_fault_and_stays_inside(wrong: int) -> None:
    column = np.array([[0], [wrong]])
    for sample in (
        Sample("gather", lambda x, i: Gather(x, i, 0), (_X, np.array([1, wrong]))),
        Sample("elements", lambda x, i: GatherElements(x, i, 0), (_X, column)),
        Sample("nd", lambda x, i: GatherNd(x, i), (_X, column)),
    ):
        assert fault_found(sample)
        run_body(sample)  # the interpreter raises for a read outside


@pytest.mark.parametrize("wrong", [5, -6, 2**40, -(2**63)])
def test_an_update_out_of_range_is_a_fault_and_left_out(wrong: int) -> None:
    column = np.array([[0], [wrong]])
    elements = Sample(
        "elements",
        lambda x, i, u: ScatterElements(x, i, u, 0),
        (_X, column, np.full((2, 1), 7, np.float32)),
    )
    rows = Sample(
        "nd", lambda x, i, u: ScatterNd(x, i, u), (_X, column, np.full((2, 3), 7, np.float32))
    )
    for sample, changed in ((elements, (0, slice(0, 1))), (rows, (0, slice(None)))):
        assert fault_found(sample)
        expected = _X.copy()
        expected[changed] = 7
        np.testing.assert_array_equal(run_own_kernel(sample)[0], expected)
