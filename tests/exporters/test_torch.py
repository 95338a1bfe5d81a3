"""Functions as programs of torch: each operation's calls, held against its reference."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ops.close import assert_close
from ops.sample import Sample
from ops.samples import SAMPLES

import mlir_lite as ml
from mlir_lite import Function, UnsupportedError, Value, bf16, f32, i64
from mlir_lite.ir import Builder, results_of
from mlir_lite.ops.linalg.spectral import Eigh
from mlir_lite.ops.table import TABLE
from mlir_lite.passes.fusion.fuse import fuse
from mlir_lite.types import Array

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from mlir_lite.exporters.torch import to_torch
from mlir_lite.exporters.torch.arrays import array_of, tensor_of
from mlir_lite.exporters.torch.program import CALLS

# What torch has nothing for, of operations that it has otherwise.
REFUSED = {
    "scan: no step": "scan of no steps",
    "max: f32 (3, 0) over (1,)": "max of no elements",
    "min: f32 (3, 0) over (1,)": "min of no elements",
    "conv_transpose: of i8": "conv_transpose of i8",
    "conv_transpose: of i32": "conv_transpose of i32",
}
# Where torch's results are others by its own rules: NaN of -inf, 0 for a row that sees nothing.
_OTHER_RULES = ("gelu: special", "attention: a row that sees nothing")

KNOWN = [sample for sample in SAMPLES if type(sample.op) in CALLS]


def exported(sample: Sample) -> Function:
    """A function of the sample's operation."""
    builder = Builder(TABLE)
    with builder.active():
        results = builder.emit(sample.op)
    return builder.finish("exported", sample.op.operands, results)


def run(fn: Function, *arrays: Array) -> tuple[Array, ...]:
    """The results by torch."""
    return tuple(map(array_of, to_torch(fn)(*map(tensor_of, arrays))))


COMPARED = [
    sample
    for sample in KNOWN
    if str(sample) not in REFUSED and not str(sample).startswith(_OTHER_RULES)
]


@pytest.mark.filterwarnings("ignore:index_reduce", "ignore:var")
@pytest.mark.parametrize("sample", COMPARED, ids=str)
def test_calls_of_torch_give_the_reference(sample: Sample) -> None:
    found = sample.form(run(exported(sample), *sample.arrays))
    wanted = sample.form(results_of(sample.op.reference(*sample.arguments)))
    if isinstance(sample.op, Eigh):  # by another LAPACK, whose vectors are as good
        for have, want in zip(found, wanted, strict=True):
            unit = float(np.finfo(want.dtype).eps)
            np.testing.assert_allclose(have, want, atol=200 * unit)
    else:
        assert_close(found, wanted)


@pytest.mark.parametrize("sample", [s for s in KNOWN if str(s) in REFUSED], ids=str)
def test_what_torch_has_nothing_for_is_refused(sample: Sample) -> None:
    with pytest.raises(UnsupportedError, match=f"@exported: {REFUSED[str(sample)]}$"):
        to_torch(exported(sample))


def test_every_sample_that_is_refused_is_there() -> None:
    assert {str(sample) for sample in KNOWN} >= set(REFUSED)


@ml.function(f32[4, 8], f32[8, 3], f32[3])
def classifier(x: Value, w: Value, b: Value) -> Value:
    return ml.softmax(ml.relu(x @ w + b))


def calls(fn: Function) -> list[str]:
    """The program's lines, without those that only take parameters."""
    lines = [line.split(";")[0].strip() for line in to_torch(fn).code.splitlines()]
    return [line for line in lines if " = " in line]


def test_the_program_can_be_read() -> None:
    assert calls(classifier) == [
        "transpose = torch.transpose(w, 0, 1)",
        "linear = torch._C._nn.linear(x, transpose, b)",
        "relu = torch.relu(linear)",
        "softmax = torch.softmax(relu, 1)",
    ]


@ml.function(f32[2, 5, 8], f32[8, 3], f32[3])
def by_rows(x: Value, w: Value, b: Value) -> Value:
    return b + x @ w


@ml.function(f32[2, 4, 6, 6], f32[8, 4, 3, 3], f32[8])
def images(x: Value, w: Value, b: Value) -> Value:
    return ml.conv2d(x, w, b, padding=1)


@ml.function(f32[2, 6, 6, 4], f32[8, 4, 3, 3], f32[8])
def images_last(x: Value, w: Value, b: Value) -> Value:
    return ml.conv(x, w, b, layout="nhwc")


@ml.function(f32[2, 4, 6, 6], f32[6, 4, 1, 1], f32[6])
def along_columns(x: Value, w: Value, b: Value) -> Value:
    return ml.conv2d(x, w) + b


@ml.function(f32[3, 8], f32[8, 3], f32[3])
def along_rows(x: Value, w: Value, b: Value) -> Value:
    return x @ w + ml.expand_dims(b, 1)


@ml.function(f32[4, 8], f32[8, 3], f32[3])
def used_twice(x: Value, w: Value, b: Value) -> Value:
    y = x @ w
    return (y + b) * y


@pytest.mark.parametrize(
    ("fn", "is_argument"),
    [
        (by_rows, True),
        (images, True),
        (images_last, True),
        (along_columns, False),
        (along_rows, False),
        (used_twice, False),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_a_bias_is_an_argument_of_its_product(fn: Function, is_argument: bool) -> None:
    arrays = _arrays(fn)
    assert_close(run(fn, *arrays), results_of(ml.evaluate(fn, *arrays)))
    assert any("torch.add(" in call for call in calls(fn)) is not is_argument


@ml.function(f32[3, 4])
def turned(x: Value) -> Value:
    return ml.transpose(x)


@ml.function(f32[4])
def repeated(x: Value) -> Value:
    return ml.broadcast(x, (3, 4))


@pytest.mark.parametrize("fn", [turned, repeated, images_last], ids=lambda fn: fn.name)
def test_results_are_no_views(fn: Function) -> None:
    for result in to_torch(fn)(*map(tensor_of, _arrays(fn))):
        assert result.is_contiguous()


def test_all_that_is_missing_is_told_at_once() -> None:
    def turn(state: Value, row: Value) -> tuple[Value, Value]:
        kept = ml.random.bernoulli(0, (3,))
        return ml.where(kept, state + row, 0.0), ml.max_pool(row.reshape(1, 1, 3), 3)

    @ml.function(f32[5, 3], i64[()])
    def noisy(x: Value, seed: Value) -> tuple[Value, Value]:
        last, _ = ml.scan(turn, ml.zeros((3,)), x)
        return last, ml.random.bits(seed, (2,), dtype=i64)

    with pytest.raises(UnsupportedError) as told:
        to_torch(noisy)
    message = str(told.value)
    assert message.startswith("torch has nothing for these of @noisy: random_bits (")
    assert message.count("random_bits (") == 2  # each with its line
    assert message.count("test_torch.py:") == 2


def test_parameters_keep_their_names_where_python_can_have_them() -> None:
    text = """
    func @f(%x: tensor<2xf32>, %layer.0.weight: tensor<2xf32>, %lambda: tensor<2xf32>)
        -> tensor<2xf32> {
      %0 = add %x, %layer.0.weight : tensor<2xf32>
      %1 = multiply %0, %lambda : tensor<2xf32>
      return %1
    }"""
    fn = ml.parse(text)
    arrays = [np.array([k, k + 1], np.float32) for k in (1, 2, 3)]
    np.testing.assert_array_equal(run(fn, *arrays)[0], (arrays[0] + arrays[1]) * arrays[2])
    assert "def forward(self, x, arg, arg_" in to_torch(fn).code


def test_groups_are_looked_into() -> None:
    arrays = _arrays(classifier)
    wanted = results_of(ml.evaluate(classifier, *arrays))
    assert_close(run(fuse(classifier), *arrays), wanted)


def _arrays(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    shapes = [param.type.static_shape for param in fn.params]
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


@ml.function(f32[6, 4], f32[4, 4], f32[4])
def recurrent(x: Value, w: Value, start: Value) -> tuple[Value, Value]:
    def step(state: Value, row: Value) -> tuple[Value, Value]:
        new = ml.tanh(state @ w + row)
        return new, new

    last, every = ml.scan(step, start, x)
    return last, every


@pytest.mark.parametrize("fn", [classifier, recurrent], ids=lambda fn: fn.name)
def test_torch_compile_takes_the_program_whole(fn: Function) -> None:
    arrays = _arrays(fn)
    compiled = torch.compile(to_torch(fn), fullgraph=True, backend="eager")
    found = compiled(*map(tensor_of, arrays))
    assert_close(tuple(map(array_of, found)), results_of(ml.evaluate(fn, *arrays)))


@pytest.mark.parametrize("dtype", [f32, bf16], ids=str)
def test_arrays_come_back_as_they_went(dtype: ml.DType) -> None:
    array = np.array([[1.5, -2.0], [0.0, 3e5]]).astype(dtype.numpy)
    there = tensor_of(array)
    assert there.shape == (2, 2)
    assert array_of(there).dtype == array.dtype
    np.testing.assert_array_equal(array_of(there), array)
    np.testing.assert_array_equal(array_of(there.T), array.T)


def test_without_torch_there_is_an_error_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ml.MissingExtraError, match=r"mlir-lite\[torch\]"):
        ml.to_torch(classifier)
