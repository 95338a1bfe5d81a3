"""The package onnx's own backend suite in machine code, against the table of cases that fail.

The "float core" are the cases of the default domain whose inputs and outputs are f32, i64, i32 or
bool; "T1" are those of them whose nodes are all among the operators that real models use.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

from mlir_lite.errors import MlirLiteError
from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.frontends.onnx_backend import Make, PreparedModel, Runnable, compiled
from mlir_lite.interpreter import evaluate
from mlir_lite.ir import Function, results_of
from mlir_lite.types import Array

TABLE = Path(__file__).with_name("suite_table.json")

_NAMES = """
    Add And AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv
    ConvTranspose Cos Div Equal Erf Exp Expand Flatten GRU Gather GatherND Gemm GlobalAveragePool
    GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish Identity If IsNaN LSTM
    LayerNormalization LeakyRelu Less Log MatMul Max MaxPool Mul Neg Not PRelu Pad Pow Range
    Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize
    ScatterElements Shape Sigmoid Size Slice Softmax Split Sqrt Squeeze Sub Tanh Transpose
    Unsqueeze Where
"""
OPERATORS = frozenset(_NAMES.split())

_TYPES = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.INT64,
    onnx.TensorProto.INT32,
    onnx.TensorProto.BOOL,
}


@dataclass(frozen=True, eq=False)
class Case:
    """One model with the inputs and the outputs it must give."""

    name: str
    model: onnx.ModelProto
    data: Sequence[tuple[Sequence[Array], Sequence[Array]]]
    rtol: float
    atol: float

    def failure(self, make: Make = compiled) -> str:
        """Why the case fails, made to run so, in one line; empty where it passes."""
        try:
            prepared = PreparedModel(OnnxModel.read(self.model), make)
            results = [prepared.run(inputs) for inputs, _ in self.data]
        except MlirLiteError as error:
            return f"{type(error).__name__}: {str(error).splitlines()[-1].strip()}"
        for outputs, (_, expected) in zip(results, self.data, strict=True):
            wrong = _difference(outputs, expected, self.rtol, self.atol)
            if wrong:
                return wrong
        return ""


def _difference(
    outputs: Sequence[Array], expected: Sequence[Array], rtol: float, atol: float
) -> str:
    if len(outputs) != len(expected):
        return f"{len(outputs)} outputs, not {len(expected)}"
    for output, wanted in zip(outputs, expected, strict=True):
        if output.shape != wanted.shape or output.dtype != wanted.dtype:
            return f"{output.dtype}{output.shape}, not {wanted.dtype}{wanted.shape}"
        if not np.allclose(output, wanted, rtol, atol, equal_nan=True):
            return "wrong numbers"
    return ""


@cache
def node_cases() -> Sequence[TestCase]:
    """The suite's cases of single nodes; the package takes seconds to compute them."""
    with warnings.catch_warnings():
        # The suite computes infinities and overflows on purpose.
        warnings.simplefilter("ignore", RuntimeWarning)
        return tuple(load_model_tests(kind="node"))


def cases(chosen: Callable[[onnx.ModelProto], bool]) -> Iterator[Case]:
    """The node cases whose model is chosen."""
    for case in node_cases():
        if not chosen(case.model):
            continue
        data = [(_arrays(inputs), _arrays(outputs)) for inputs, outputs in case.data_sets]
        yield Case(case.name, case.model, data, case.rtol, case.atol)


def _arrays(entries: Sequence[Array | onnx.TensorProto]) -> list[Array]:
    return [
        numpy_helper.to_array(entry) if isinstance(entry, onnx.TensorProto) else np.asarray(entry)
        for entry in entries
    ]


def is_core(model: onnx.ModelProto) -> bool:
    """Whether a case belongs to the float core, see above."""
    values = [*model.graph.input, *model.graph.output]
    return (
        all(value.type.WhichOneof("value") == "tensor_type" for value in values)
        and all(value.type.tensor_type.elem_type in _TYPES for value in values)
        and all(opset.domain in ("", "ai.onnx") for opset in model.opset_import)
    )


def is_t1(model: onnx.ModelProto) -> bool:
    """Whether a case belongs to T1, see above."""
    return is_core(model) and all(node.op_type in OPERATORS for node in model.graph.node)


@pytest.fixture(scope="module")
def t1() -> list[Case]:
    return list(cases(is_t1))


def test_the_suite_has_not_shrunk(t1: list[Case]) -> None:
    assert len(t1) >= 500


def test_only_the_cases_of_the_table_fail(t1: list[Case]) -> None:
    known: dict[str, dict[str, str]] = json.loads(TABLE.read_text())
    failures = {case.name: why for case in t1 if (why := case.failure())}
    # Another release of the package may lack cases of the table, or have more.
    present = {case.name for case in t1}
    expected = {name: row["failure"] for name, row in known.items() if name in present}
    assert failures == expected


DEFINED = {
    "AffineGrid",
    "HannWindow",
    "NegativeLogLikelihoodLoss",
    "RotaryEmbedding",
    "SoftmaxCrossEntropyLoss",
    "SwiGLU",
}


def test_operators_that_have_only_a_definition_are_written_out() -> None:
    found = list(cases(lambda model: model.graph.node[0].op_type in DEFINED))
    assert len(found) >= 60
    assert {case.name: why for case in found if (why := case.failure())} == {}


def test_definitions_are_written_out_where_an_operand_is_left_out() -> None:
    def gaps(model: onnx.ModelProto) -> bool:
        node = model.graph.node[0]
        written = {"Attention", "CausalConvWithState", "LinearAttention"}
        return is_core(model) and node.op_type in written and "" in node.input

    found = list(cases(gaps))
    assert len(found) >= 20
    interpreted = {case.name: why for case in found if (why := case.failure(interpreting))}
    assert interpreted == {}


def interpreting(fn: Function) -> Runnable:
    return lambda *arrays: evaluate(fn, *arrays)


def test_caches_are_updated_at_each_rows_place() -> None:
    found = list(cases(lambda model: model.graph.node[0].op_type == "TensorScatter"))
    assert len(found) >= 3
    assert {case.name: why for case in found if (why := case.failure())} == {}


CHOSEN = {"Col2Im", "GlobalLpPool", "GridSample", "MaxUnpool", "RoiAlign", "TopK"}


def test_what_is_chosen_by_value_or_by_place_is_right() -> None:
    found = list(cases(lambda model: is_core(model) and model.graph.node[0].op_type in CHOSEN))
    assert len(found) >= 34
    assert {case.name: why for case in found if (why := case.failure())} == {}


SPECTRA = {"DFT", "MelWeightMatrix", "STFT"}


def test_spectra_are_right() -> None:
    found = list(cases(lambda model: model.graph.node[0].op_type in SPECTRA))
    assert len(found) >= 13
    known = json.loads(TABLE.read_text())
    failures = {case.name: why for case in found if (why := case.failure())}
    assert failures.keys() <= known.keys(), failures


LOOPS = {"GRU", "LSTM", "Loop", "RNN", "Scan"}


def test_recurrences_and_loops_are_right() -> None:
    found = list(cases(lambda model: is_core(model) and model.graph.node[0].op_type in LOOPS))
    assert len(found) >= 19
    assert {case.name: why for case in found if (why := case.failure())} == {}


CORE_PASSES = 1299  # of the 1343 cases of onnx 1.23; the others need operators that are not read


@pytest.mark.slow
def test_the_float_core_is_right_or_refused() -> None:
    found = list(cases(is_core))
    known = json.loads(TABLE.read_text())
    failures = {case.name: why for case in found if (why := case.failure())}
    wrong = {name for name, why in failures.items() if not why.startswith("UnsupportedError")}
    assert wrong <= set(known), {name: failures[name] for name in wrong - set(known)}
    assert len(found) - len(failures) >= CORE_PASSES


def doubled(fn: Function) -> Runnable:
    """Twice what the function computes."""
    right = compiled(fn)
    return lambda *arrays: tuple(2 * result for result in results_of(right(*arrays)))


def test_wrong_numbers_are_caught(t1: list[Case]) -> None:
    sample = [case for case in t1 if case.name.startswith("test_reduce_mean")]
    assert sample
    assert {case.failure(doubled) for case in sample} == {"wrong numbers"}
