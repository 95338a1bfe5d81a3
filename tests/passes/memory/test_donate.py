"""Parameters given away: results in their memory, with a copy only where an old value is needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, PassError, Value, VerifyError, f32
from mlir_lite.tile.checks.verify import verify_program
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

TARGETS = pytest.mark.parametrize("target", ["cpu", "reference"])


@ml.function(f32[17, 9], f32[5, 17])
def descend(w: Value, x: Value) -> tuple[Value, ...]:
    """A step of gradient descent: the parameter is read last where its new value is made."""
    y = x @ w
    return w - 0.1 * (x.T @ y), (y * y).sum()


@ml.function(f32[17, 9], f32[5, 17])
def descend_backwards(w: Value, x: Value) -> tuple[Value, ...]:
    """The old value is needed after the new one is there."""
    new = ml.exp(w)
    return new, x @ (w * ml.max(new))


@ml.function(f32[33], f32[33])
def swap(a: Value, b: Value) -> tuple[Value, ...]:
    return b, a


@ml.function(f32[3, 4], f32[3, 4])
def keep(a: Value, b: Value) -> tuple[Value, ...]:
    return a, a + b


@ml.function(f32[4, 33], f32[33])
def decayed(x: Value, start: Value) -> tuple[Value, ...]:
    """A loop whose state begins where the parameter lies."""
    last, every = ml.scan(lambda state, row: (state * 0.5 + row, state * row), start, x)
    return last, every


def _arrays(fn: ml.Function) -> list[Array]:
    random = np.random.default_rng(0)
    shapes = [param.type.static_shape for param in fn.params]
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def _run(fn: ml.Function, target: str) -> tuple[Array, ...]:
    """The results, checked against the function's as it is without donation."""
    arrays = _arrays(fn)
    expected = ml.evaluate(replace(fn, donated={}), *arrays)
    results = ml.compile(fn, target, threads=1)(*arrays)
    assert isinstance(results, tuple)
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)
    for name, position in fn.donated.items():
        assert results[position] is arrays[[param.name for param in fn.params].index(name)]
    return results


def _copies(fn: ml.Function) -> int:
    program = ml.compile(fn, threads=1).program
    verify_program(program)
    return sum(step.label.startswith("copy ") for step in program.calls)


@TARGETS
@pytest.mark.parametrize(
    "fn, copies",
    [
        (descend.donating({"w": 0}), 0),
        (descend_backwards.donating({"w": 0}), 1),
        (swap.donating({"a": 0}), 2),
        (swap.donating({"a": 0, "b": 1}), 3),
        (keep.donating({"a": 0}), 0),
        (keep.donating({"a": 1}), 1),
        (keep.donating({"b": 1}), 1),
        (decayed.donating({"start": 0}), 1),
    ],
    ids=[
        *("last read", "read later", "one of two", "both", "as it is", "moved", "another's"),
        "state of a loop",
    ],
)
def test_a_result_lies_in_its_parameter(fn: ml.Function, copies: int, target: str) -> None:
    _run(fn, target)
    assert _copies(fn) == copies


def test_donation_at_compilation() -> None:
    w, x = _arrays(descend)
    expected = ml.evaluate(descend, w, x)
    new, loss = ml.compile(descend, threads=1, donate={"w": 0})(w, x)
    assert new is w
    np.testing.assert_allclose(new, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss, expected[1], rtol=1e-5)


def test_a_kept_program_donates_too() -> None:
    for _ in range(2):
        _run(descend.donating({"w": 0}), "cpu")


def test_what_is_given_away_must_be_writeable() -> None:
    w, x = _arrays(descend)
    w.flags.writeable = False
    with pytest.raises(InputError, match="expected a writeable array"):
        ml.compile(descend, threads=1, donate={"w": 0})(w, x)


def test_the_text_says_it_and_reads_back() -> None:
    fn = descend.donating({"w": 0})
    assert "%w: tensor<17x9xf32> {donated = 0}" in str(fn)
    for text in (str(fn), fn.generic()):
        assert dict(ml.parse(text).donated) == {"w": 0}


def test_binding_a_parameter_ends_its_donation() -> None:
    fn = swap.donating({"a": 0, "b": 1}).bind({"a": np.zeros(33, np.float32)})
    assert dict(fn.donated) == {"b": 1}


@pytest.mark.parametrize(
    "donated, message",
    [
        ({"v": 0}, "has no parameter 'v'"),
        ({"w": 2}, "there is no result 2 among 2"),
        ({"w": 1}, "it is tensor<17x9xf32>, the result 1 is tensor<f32>"),
    ],
)
def test_what_cannot_be_donated(donated: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        descend.donating(donated)


def test_one_result_lies_in_one_parameter() -> None:
    with pytest.raises(InputError, match="two parameters of @swap are donated to one result"):
        swap.donating({"a": 0, "b": 0})


def _program() -> Program:
    return ml.compile(descend.donating({"w": 0}), threads=1).program


def test_the_verifier_sees_a_read_of_what_is_overwritten() -> None:
    program = _program()
    first, *rest = program.steps
    late = replace(program, steps=(*rest, first))
    with pytest.raises(VerifyError, match="before it is written"):
        verify_program(late)
    again = replace(program, steps=(first, *rest, first))
    with pytest.raises(VerifyError, match="after the result 'result0' has overwritten it"):
        verify_program(again)


def test_the_verifier_sees_a_result_in_what_is_no_parameter_of_its_type() -> None:
    program = _program()
    slots = tuple(replace(slot, donor=slot.donor and "x") for slot in program.slots)
    with pytest.raises(VerifyError, match="'result0' cannot lie in 'x'"):
        verify_program(replace(program, slots=slots))


def test_a_type_error_names_the_parameter() -> None:
    text = str(swap).replace("%a: tensor<33xf32>", "%a: tensor<33xf32> {donated = 7}")
    with pytest.raises(PassError, match="'a' is donated to what is no result"):
        ml.compile(ml.parse(text), threads=1)
