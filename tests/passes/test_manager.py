"""The pass manager: records, and errors that name the pass and how to see it again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, InputError, PassError, UnsupportedError, Value, bf16, f16, f32, f64
from mlir_lite.environment import Verify
from mlir_lite.ir import Node, rewrite, rewrite_all
from mlir_lite.ops.elementwise.arithmetic import Add
from mlir_lite.ops.table import TABLE
from mlir_lite.passes import pipelines
from mlir_lite.passes.manager import Record, counts, difference, run_passes, sample_inputs
from mlir_lite.passes.pipelines import PASSES, Step
from mlir_lite.types import Array, TensorType, bool_, i64, u8

FN = ml.function(f32[2, 3], f32[2, 3])(lambda x, y: ml.relu(x * 1.0) + y)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Function], Function]], None]:
    """Puts a pass called `planted` into the table."""

    def put(graph_pass: Callable[[Function], Function]) -> None:
        monkeypatch.setattr(pipelines, "PASSES", {**PASSES, "planted": graph_pass})

    return put


Plant = Callable[[Callable[[Function], Function]], None]
STEPS = (Step("canonicalize", {"fuel": 2}), Step("planted"), Step("fuse"))


@rewrite(Add)
def add_to_subtract(op: Add) -> Value | None:
    """x + y  ->  x - y, which is wrong"""
    return op.lhs - op.rhs


def wrong(fn: Function) -> Function:
    return rewrite_all(fn, [add_to_subtract], TABLE)


def broken(fn: Function) -> Function:
    """The last operation gets a type that its rule does not give."""
    node = fn.nodes[-1]
    other = Node(node.op, (f32[3, 2],), node.location)
    return replace(fn, nodes=(*fn.nodes[:-1], other), results=other.results)


def failing(fn: Function) -> Function:
    raise KeyError(fn.name)


def test_a_record_says_what_came_and_went() -> None:
    record = Record("p", 0.0, Counter(a=1, b=3, c=2), Counter(b=1, c=2, d=5))
    assert record.summary() == "-1 a -2 b +5 d"
    assert Record("p", 0.0, Counter(a=1), Counter(a=1)).summary() == ""


def test_every_pass_is_observed_with_what_it_made() -> None:
    seen: list[tuple[Record, Function]] = []
    steps = (Step("canonicalize"), Step("fuse"))
    got = run_passes(FN, steps, observe=lambda record, fn: seen.append((record, fn)))
    assert [record.name for record, _ in seen] == ["canonicalize", "fuse"]
    assert "-1 multiply" in seen[0][0].summary() and seen[1][0].summary() == "+1 group"
    assert seen[-1][1] is got and all(record.seconds > 0 for record, _ in seen)
    assert seen[0][0].after == seen[1][0].before == counts(seen[0][1])


def test_operations_inside_of_groups_count() -> None:
    assert counts(run_passes(FN, (Step("canonicalize"), Step("fuse")))) == Counter(
        group=1, relu=1, add=1
    )


def test_passes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "mlir_lite"):
        run_passes(FN, (Step("canonicalize"),))
    assert "canonicalize: " in caplog.text and "-1 multiply" in caplog.text


def test_a_pass_that_changes_the_result_is_named(plant: Plant) -> None:
    plant(wrong)
    with pytest.raises(PassError) as raised:
        run_passes(FN, STEPS, verify="each-pass")
    first, _, command = str(raised.value).splitlines()
    name = FN.name
    assert first.startswith("the pass 'planted' changed result 0 by ")
    passes = "canonicalize{fuel=2},planted"
    wanted = f"  mlir-lite opt dumps/{name}/00-input.mlir --passes {passes} --verify each-pass"
    assert command == wanted


@pytest.mark.parametrize("level", ["off", "structure"])
def test_what_it_changes_is_seen_only_by_running_it(plant: Plant, level: Verify) -> None:
    plant(wrong)
    assert "subtract" in counts(run_passes(FN, STEPS[:2], verify=level))


@pytest.mark.parametrize("level", ["structure", "each-pass"])
def test_a_pass_that_leaves_broken_ir_is_named(plant: Plant, level: Verify) -> None:
    plant(broken)
    message = r"'planted' left broken IR: .*'add' has tensor<3x2xf32>, its type rule says"
    with pytest.raises(PassError, match=message):
        run_passes(FN, STEPS, verify=level)


def test_a_pass_that_fails_is_named_whatever_it_raises(plant: Plant) -> None:
    plant(failing)
    with pytest.raises(PassError, match=r"the pass 'planted' failed: KeyError") as raised:
        run_passes(FN, STEPS, verify="off")
    assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.parametrize("kind", [InputError, UnsupportedError])
def test_the_users_own_mistakes_stay_what_they_are(plant: Plant, kind: type[Exception]) -> None:
    def complaining(fn: Function) -> Function:
        raise kind("the user may not")

    plant(complaining)
    with pytest.raises(kind, match=r"^the user may not$"):
        run_passes(FN, STEPS)


def test_sample_inputs_are_the_same_every_time() -> None:
    types: tuple[TensorType, ...] = (f32[3], bf16[2, 2], i64[4], u8[1], bool_[5])
    fn = ml.function(*types)(lambda *values: values)
    first, second = sample_inputs(fn), sample_inputs(fn)
    for one, other, type_ in zip(first, second, types, strict=True):
        assert one.dtype == type_.dtype.numpy and one.shape == type_.static_shape
        np.testing.assert_array_equal(one, other)


def array(*values: float) -> Array:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("want", "have", "equal"),
    [
        (array(1, 2), array(1, 2), True),
        (array(1e6, 1), array(1e6, 1.001), True),  # judged by the largest
        (array(1, 2), array(1, 2.01), False),
        (array(np.nan, np.inf), array(np.nan, np.inf), True),
        (array(np.nan, 1), array(1, 1), False),
        (array(1, 1), array(np.nan, 1), False),
        (array(1, 1), array(np.inf, 1), False),
        (array(np.inf), array(-np.inf), False),
        (array(0, 0), array(0, -0.0), True),
        (array(1), array(1).astype(np.float64), False),
        (array(1), array(1, 1), False),
        (np.array([3, 4]), np.array([3, 4]), True),
        (np.array([3, 4]), np.array([3, 5]), False),
        (array(), array(), True),
    ],
)
def test_difference(want: Array, have: Array, equal: bool) -> None:
    error, allowed = difference(want, have)
    assert (error <= allowed) == equal


def test_narrow_types_are_judged_more_kindly() -> None:
    allowed = [
        difference(np.ones(2, of.numpy), np.ones(2, of.numpy))[1] for of in (f64, f32, f16, bf16)
    ]
    assert allowed == sorted(allowed) and allowed[0] < allowed[1] < allowed[2]
