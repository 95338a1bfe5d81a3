"""Operations on images in any layout: a transposed input gives the transposed result."""

from __future__ import annotations

import pytest

from mlir_lite.ir import results_of
from mlir_lite.types import Array

from .close import assert_close
from .sample import Sample, value_like
from .samples import SAMPLES

_IMAGES = ("conv", "conv_transpose", "max_pool", "average_pool", "batch_norm")


def _other_orders(sample: Sample) -> list[tuple[int, ...]]:
    """What takes a sample's layout to each of the others that its operation has."""
    rank = sample.arrays[0].ndim
    match getattr(sample.op, "layout", "nchw"):
        case "nhwc":
            return [(0, rank - 1, *range(1, rank - 1))]
        case "chwn":
            return [(rank - 1, *range(rank - 1))]
    return [(0, *range(2, rank), 1), (*range(1, rank), 0)]


_MOVES = [
    (sample, perm)
    for sample in SAMPLES
    if sample.op.name in _IMAGES and sample.arrays[0].ndim > 2
    for perm in _other_orders(sample)
]


@pytest.mark.parametrize("sample, perm", _MOVES, ids=str)
def test_only_the_image_is_transposed(sample: Sample, perm: tuple[int, ...]) -> None:
    image, *others = sample.arrays
    found = sample.op.permuted(perm)
    assert found is not None
    arrays: list[Array] = [image.transpose(perm), *others]
    values = [value_like("p", array) for array in arrays]
    moved = dict(zip(found.operands, values, strict=True))
    op = found.map_operands(moved.__getitem__)
    (expected,) = results_of(sample.op.reference(*sample.arguments))
    assert_close(results_of(op.reference(*arrays)), [expected.transpose(perm)])


@pytest.mark.parametrize("perm", [(1, 0, 2, 3), (0, 1, 3, 2), (0, 3, 1, 2)])
def test_a_convolution_has_no_other_order(perm: tuple[int, ...]) -> None:
    sample = next(s for s in SAMPLES if s.op.name == "conv" and s.arrays[0].ndim == 4)
    assert sample.op.permuted(perm) is None
