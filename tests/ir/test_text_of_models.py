"""Whole networks as text: before, between and behind the passes, at no cost of their weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest
from models.case import RealModel
from models.catalogue import MODELS
from models.corpus import Corpus, Unavailable

import mlir_lite as ml
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.demo.model import digits
from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.ir import INLINE_BYTES, Function
from mlir_lite.ir.printer import print_function
from mlir_lite.ir.resources import resources_of
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import Step, cpu_pipeline
from mlir_lite.tile.parser import parse_program

from .mlir_tool import mlir_operations
from .resnet import Counting, resnet50_with_weights

T = TypeVar("T")
TARGET, _ = cpu_target("cpu:haswell", 1)

# Milliseconds that a dump of ResNet-50 may take on a quiet machine, and how far others may be off.
PRINT, PARSE, NOISE = 50, 200, 5


def check_texts(fn: Function) -> None:
    """Both forms read back to the same text, and a parser of MLIR reads the generic one."""
    text, generic, resources = print_function(fn, locations=True), fn.generic(), resources_of(fn)
    assert print_function(ml.parse(text, resources), locations=True) == text
    assert ml.parse(generic, resources).generic() == generic
    names = mlir_operations(generic)
    assert [name for name in names if name.startswith("mlir_lite.")] == written(fn, ())


def written(fn: Function, end: tuple[str, ...]) -> list[str]:
    """The operations' names, those in a region behind that which has it."""
    names: list[str] = []
    for node in fn.nodes:
        names.append(f"mlir_lite.{node.op.name}")
        for part in node.op.attributes.values():
            if isinstance(part, Function):
                names += written(part, ("mlir_lite.return",))
    return [*names, *end]


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """The result, and the least milliseconds of three calls."""
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        result = call()
        times.append(1e3 * (time.perf_counter() - start))
    return result, min(times)


@pytest.fixture(scope="module")
def resnet() -> tuple[Function, tuple[Counting, ...]]:
    return resnet50_with_weights()


def test_a_large_network_prints_and_parses_at_once(
    resnet: tuple[Function, tuple[Counting, ...]],
) -> None:
    fn, _ = resnet
    resources = resources_of(fn)
    for print_ in (fn.__str__, fn.generic):
        text, milliseconds = timed(print_)
        assert milliseconds < NOISE * PRINT
        _, milliseconds = timed(lambda text=text: ml.parse(text, resources))  # type: ignore[misc]
        assert milliseconds < NOISE * PARSE


@pytest.mark.parametrize("passes", [(), cpu_pipeline(TARGET)], ids=["traced", "after the passes"])
def test_a_dump_reads_no_weight(
    resnet: tuple[Function, tuple[Counting, ...]], passes: tuple[Step, ...]
) -> None:
    fn, sources = resnet
    done = run_passes(ml.specialise(fn, {"batch": 1}), passes)
    weights = [source for source in sources if source.type.nbytes > INLINE_BYTES]
    before = [source.reads for source in weights]
    check_texts(done)
    assert len(weights) > 50
    assert [source.reads for source in weights] == before
    # A pass reads the filters that Winograd's rounding is measured on, no others.
    read = [source.type.shape for source in weights if source.reads]
    assert all(shape[2:] == (3, 3) for shape in read) and (not passes) == (not read)


@pytest.mark.parametrize("step", range(len(cpu_pipeline(TARGET)) + 1))
def test_the_digits_net_reads_back_after_every_pass(step: int) -> None:
    check_texts(run_passes(ml.specialise(digits(), {"batch": 4}), cpu_pipeline(TARGET)[:step]))


def test_the_digits_net_of_any_batch_reads_back() -> None:
    check_texts(digits())


def test_the_digits_program_reads_back() -> None:
    fused = run_passes(ml.specialise(digits(), {"batch": 4}), cpu_pipeline(TARGET))
    program = plan_memory(lower(fused, TARGET))
    text = str(program)
    assert parse_program(text) == program
    assert str(parse_program(text)) == text


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="module")
def onnx_model(model: RealModel, corpus: Corpus) -> OnnxModel:
    try:
        return OnnxModel.read(corpus.path(model.file))
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))


every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name, scope="module")


@every_model
def test_a_real_model_of_named_sizes_reads_back(model: RealModel, onnx_model: OnnxModel) -> None:
    check_texts(onnx_model.function())


@every_model
def test_a_real_model_reads_back_behind_the_passes(
    model: RealModel, onnx_model: OnnxModel
) -> None:
    shapes = {name: array.shape for name, array in model.cases[0].inputs.items()}
    check_texts(run_passes(onnx_model.function(shapes), cpu_pipeline(TARGET)))
