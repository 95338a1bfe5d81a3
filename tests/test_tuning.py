"""Records of measured choices, and the tuner that makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, InputError, Tuning, Value, f32
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.ir import ConstantData
from mlir_lite.lowering import lower_for
from mlir_lite.ops.base.constant import constant
from mlir_lite.options import Options, backend_of
from mlir_lite.passes.fusion.pieces import pieces_of
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.passes.schedule.cost.model import choose_tile, decide
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.target import Target
from mlir_lite.tuner import Tuned, tune
from mlir_lite.tuning import FORMAT, Choice, parse_tuning, read_tuning

HERE = Machine.host().cpu
CHOICE = Choice("product 96x32x64 f32, finish of 2", "tile", "3x1")
RECORD = Tuning(HERE, (CHOICE,))


@ml.function(f32[96, 32], f32[32, 64], f32[96, 64])
def product(a: Value, b: Value, c: Value) -> Value:
    return ml.relu(a @ b + c)


def convolution(channels: int = 8) -> Function:
    """A 3×3 convolution with constant filters and what follows it."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((channels, channels, 3, 3)).astype(np.float32)

    def conv(x: Value) -> Value:
        y = ml.conv(x, constant(ConstantData.of(weight)), padding=((1, 1), (1, 1)))
        return ml.softmax(ml.relu(y), 1)

    return ml.function(f32[1, channels, 12, 12])(conv)


def record_text(**changes: object) -> str:
    tree = {"format": FORMAT, "machine": HERE, "choices": {CHOICE[0]: {CHOICE[1]: CHOICE[2]}}}
    return json.dumps({**tree, **changes})


# Records


def test_a_record_reads_back(tmp_path: Path) -> None:
    record = Tuning(HERE, (Choice("conv", "algorithm", "direct"), CHOICE))
    assert parse_tuning(str(record)) == record
    (tmp_path / "record.json").write_text(str(record))
    assert read_tuning(tmp_path / "record.json") == record


def test_the_order_in_a_file_does_not_matter() -> None:
    choices = {"b": {"y": "1", "x": "2"}, "a": {"z": "3"}}
    record = parse_tuning(record_text(choices=choices))
    assert record.choices == (("a", "z", "3"), ("b", "x", "2"), ("b", "y", "1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"format": 3,\n}', r"r\.json:3:1: a tuning record is JSON"),
        ("[1]", r"r\.json: the record is \[1\], expected an object"),
        ("[" * 100_000, r"r\.json: a tuning record is not that deep"),
        ('{"format": 1, "format": 2}', r"r\.json: the key 'format' is there twice"),
        (record_text(format="mlir-lite tuning 0"), r"r\.json: 'format' is 'mlir-lite tuning 0'"),
        (record_text(machine=5), r"r\.json: 'machine' is 5, expected a string"),
        (record_text(choices=[]), r"r\.json: 'choices' is \[\], expected an object"),
        (record_text(choices={"p": 1}), r"'choices' / 'p' is 1, expected an object"),
        (record_text(choices={"p": {"q": 2}}), r"'choices' / 'p' / 'q' is 2, expected a string"),
        (record_text(chioces={}), r"r\.json: unknown key 'chioces'"),
    ],
)
def test_a_bad_record_says_where(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_tuning(text, "r.json")


def test_a_record_is_text(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"record\.json: a tuning record is UTF-8 text"):
        read_tuning(path)


# What they change


def tile_text(fn: Function, tune: Tuning | None = None) -> str:
    return ml.compile(fn, threads=1, tune=tune).stages["tile"]



def test_the_recorded_tile_is_taken() -> None:
    target = replace(Target("cpu:test"), tuning=RECORD)
    sizes = ProductSizes(96, 32, 64, f32, finish=2)
    assert choose_tile(sizes, Target("cpu:test")) != choose_tile(sizes, target)
    assert str(choose_tile(sizes, target)) == "3x1"
    assert choose_tile(replace(sizes, rows=95), target) == choose_tile(
        replace(sizes, rows=95), Target("cpu:test")
    )


def test_the_recorded_tile_is_seen_in_the_loops(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(str(RECORD))
    tuned = ml.compile(product, threads=1, tune=path).stages["tile"]
    assert tuned != tile_text(product)
    assert "0..32" in tuned  # 96 rows, 3 at a time
    assert tuned == tile_text(product, RECORD)


def test_tuned_code_computes_the_same() -> None:
    random = np.random.default_rng(0)
    shapes = ((96, 32), (32, 64), (96, 64))
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    a, b, c = (array.astype(np.float64) for array in arrays)
    expected = np.maximum(a @ b + c, 0)
    for threads in (1, 2):
        got = ml.compile(product, threads=threads, tune=RECORD)(*arrays)
        # Sums of 32 products: some units in the last place of the largest.
        np.testing.assert_allclose(got, expected, atol=8 * 2**-23 * expected.max())


def test_a_recorded_algorithm_is_taken() -> None:
    fn = convolution()
    question = ("conv 3x3 1x12x12 8->8 f32", "algorithm, tiles up to 4")
    random = np.random.default_rng(1)
    x = random.standard_normal((1, 8, 12, 12)).astype(np.float32)
    (expected,) = [ml.evaluate(fn, x)]
    for answer, stages in (("direct", False), ("winograd2", True)):
        run = ml.compile(fn, tune=Tuning(HERE, (Choice(*question, answer),)))
        assert ("winograd" in run.stages["fused"]) == stages
        # Probabilities, of sums of 72 products.
        np.testing.assert_allclose(run(x), expected, atol=1e-5)


def test_an_answer_that_cannot_be_given_is_named() -> None:
    record = Tuning(HERE, (Choice(CHOICE.problem, "tile", "99x9"),))
    with pytest.raises(InputError, match=f"'99x9' as the tile of '{CHOICE.problem}', which"):
        ml.compile(product, tune=record)


def test_a_record_of_another_machine_is_refused() -> None:
    record = Tuning("z80", (CHOICE,))
    with pytest.raises(InputError, match=f"of the machine 'z80', the target 'cpu' is '{HERE}'"):
        ml.compile(product, tune=record)


def test_the_model_answers_with_the_cheapest() -> None:
    target = Target("cpu:test")
    assert decide("p", "q", {3: 2.0, 5: 1.0, 7: 1.0}, target) == 5


# The search


def test_pieces_hold_an_operation_and_what_follows_it() -> None:
    fn = convolution()
    for step in cpu_pipeline(Target("cpu:test"))[:3]:
        fn = step.run(fn)
    first = pieces_of(fn)[0].function
    assert [node.op.name for node in first.nodes] == ["constant", "conv", "relu"]
    assert first.result_types == (f32[1, 8, 12, 12],)


def test_pieces_that_differ_only_in_constants_are_counted() -> None:
    random = np.random.default_rng(0)
    weights = [random.standard_normal((40, 40)).astype(np.float32) for _ in range(3)]

    @ml.function(f32[8, 40], f32[40, 40])
    def layers(x: Value, last: Value) -> Value:
        for weight in weights:
            x = ml.relu(x @ constant(ConstantData.of(weight)))
        return ml.relu(x @ last)

    pieces = pieces_of(layers)
    assert [piece.count for piece in pieces] == [3, 1]
    assert [len(piece.function.params) for piece in pieces] == [1, 2]


@dataclass
class Report:
    """Collects what the tuner tells."""

    lines: list[Tuned]

    def __call__(self, tuned: Tuned) -> None:
        self.lines.append(tuned)


@pytest.mark.parametrize("trials", [1, 7])
def test_no_more_candidates_are_timed_than_asked_for(trials: int) -> None:
    report = Report([])
    record = tune(product, threads=1, trials=trials, kernels=3, report=report)
    assert [line.trials for line in report.lines] == [trials]
    assert record.machine == HERE
    check_offered(product, record)


def test_fewer_trials_than_kernels() -> None:
    @ml.function(f32[64, 32], f32[32, 32], f32[32, 48])
    def two(x: Value, a: Value, b: Value) -> Value:
        return ml.relu(x @ a) @ b

    report = Report([])
    tune(two, threads=1, trials=1, kernels=2, report=report)
    assert [line.trials for line in report.lines] == [1]
    assert report.lines[0].model_seconds > 0


def test_a_convolution_is_tuned_with_its_algorithm() -> None:
    report = Report([])
    record = tune(convolution(), threads=1, trials=12, report=report)
    assert sum(line.trials for line in report.lines) <= 12
    assert {len(line.piece.function.params) for line in report.lines} == {1}
    check_offered(convolution(), record)


def check_offered(fn: Function, record: Tuning) -> None:
    """Every choice of a record is asked for, and can be given, when its function is compiled."""
    asked: dict[tuple[str, str], Mapping[str, float]] = {}

    class Listener:
        def choose(self, problem: str, question: str, ranked: Mapping[str, float]) -> str:
            asked[problem, question] = ranked
            return record.choose(problem, question, ranked)

    lower_for(fn, "cpu", Options(tuning=Listener()))
    assert asked
    for problem, question, answer in record.choices:
        assert answer in asked[problem, question]


def test_what_cannot_be_tuned() -> None:
    @ml.function(f32["n", 4])
    def sized(x: Value) -> Value:
        return ml.relu(x)

    with pytest.raises(InputError, match="@sized has named sizes; specialise it first"):
        tune(sized)
    with pytest.raises(InputError, match="at least one trial, not 0"):
        tune(product, trials=0)


def test_the_reference_backend_takes_records_too() -> None:
    assert backend_of("reference", RECORD).target.tuning == RECORD
