"""What is derived from an operation's class, for each operation and each of its samples.

`reference` is the oracle; each test holds another definition of the operation against it.
"""

from __future__ import annotations

import pytest

from mlir_lite.ir import Builder, result_types, results_of, run_reference
from mlir_lite.ops.regions.control import OPS as CONTROL
from mlir_lite.ops.table import TABLE
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.ops.windows.conv_transpose import ConvTranspose
from mlir_lite.types import Array

from .close import assert_close
from .run_naive import run_body, run_own_kernel
from .sample import Sample, value_like
from .samples import SAMPLES

# A group's results are those of its region: the fuse pass's tests hold it.
_WITHOUT_SAMPLES = {"group"}
_REGIONS = {"group", *(cls.name for cls in CONTROL)}  # their meaning is that of functions


def _with(method: str) -> list[Sample]:
    return [sample for sample in SAMPLES if type(sample.op).has(method)]


def _reference(sample: Sample) -> tuple[Array, ...]:
    return results_of(sample.op.reference(*sample.arguments))


def _check(sample: Sample, results: tuple[Array, ...]) -> None:
    assert_close(sample.form(results), sample.form(_reference(sample)))


def test_every_operation_has_a_sample() -> None:
    sampled = {sample.op.name for sample in SAMPLES}
    assert set(TABLE.classes) - sampled - _WITHOUT_SAMPLES == set()


def test_every_operation_has_a_meaning() -> None:
    """A body, a decomposition or a kernel; a constant is data."""
    for name, cls in TABLE.classes.items():
        assert name in ("constant", *_REGIONS) or any(
            cls.has(method) for method in ("body", "decompose", "kernel")
        ), name


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_type_rule_gives_the_type_of_the_reference(sample: Sample) -> None:
    types = result_types(sample.op)
    arrays = _reference(sample)
    assert [type_.static_shape for type_ in types] == [array.shape for array in arrays]
    assert [type_.dtype.numpy for type_ in types] == [array.dtype for array in arrays]


@pytest.mark.parametrize("sample", _with("body"), ids=str)
def test_body_is_the_reference(sample: Sample) -> None:
    _check(sample, run_body(sample))


@pytest.mark.parametrize("sample", _with("kernel"), ids=str)
def test_kernel_is_the_reference(sample: Sample) -> None:
    _check(sample, run_own_kernel(sample))


@pytest.mark.parametrize("sample", _with("decompose"), ids=str)
def test_decomposition_is_the_reference(sample: Sample) -> None:
    op = sample.op
    builder = Builder(TABLE)
    with builder.active():
        found = op.decompose(*op.arguments({value: value for value in op.operands}))
    results = found if isinstance(found, tuple) else (found,)
    assert tuple(value.type for value in results) == result_types(op)
    fn = builder.finish("decomposed", op.operands, results)
    _check(sample, run_reference(fn, sample.arrays))


# Weights keep their order: `test_layout` has what is moved past them.
_WITH_WEIGHTS = (Conv, ConvTranspose)

_OF_ONE_RANK = [
    sample
    for sample in _with("permuted")
    if len({array.ndim for array in sample.arrays}) < 2
    and not isinstance(sample.op, _WITH_WEIGHTS)
]


@pytest.mark.parametrize("sample", _OF_ONE_RANK, ids=str)
def test_permuted_operation_is_the_permuted_result(sample: Sample) -> None:
    """A class may say None for a case it cannot do; `test_layout` has the operands of any rank."""
    rank = max((array.ndim for array in sample.arrays), default=0)
    perm = (*range(1, rank), 0) if rank else ()
    permuted = sample.op.permuted(perm)
    if permuted is None:
        return
    moved = {
        value: value_like("p", array.transpose(perm))
        for value, array in zip(sample.op.operands, sample.arrays, strict=True)
    }
    op = permuted.map_operands(moved.__getitem__)
    arrays = [array.transpose(perm) for array in sample.arrays]
    values = dict(zip(op.operands, arrays, strict=True))
    actual = results_of(op.reference(*op.arguments(values)))
    expected = tuple(result.transpose(perm) for result in _reference(sample))
    assert tuple(type_.static_shape for type_ in result_types(op)) == tuple(
        result.shape for result in expected
    )
    assert_close(actual, expected)
