"""What executables of cards take, and how they refuse the rest: in the words of the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f32

from ..examples import BY_NAME, arrays_for
from ..on_shim import close, executable_on, uploaded
from ..shim import needs_shim
from ..shim_card import ShimCard

pytestmark = needs_shim


@pytest.fixture
def shim() -> ShimCard:
    return ShimCard(late=True)



def test_a_cpu_has_no_stream() -> None:
    run = ml.compile(BY_NAME["halved"])
    with pytest.raises(InputError, match="stream= is for cards; this is compiled for a CPU"):
        run(np.ones(8, np.float32), stream=7)


WRONG = {
    "dtype": lambda x: x.astype(np.float64),
    "shape": lambda x: x[:-1],
    "turned": lambda x: np.ascontiguousarray(x.T),
    "strides": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "kind": lambda x: x.tolist()[0][0],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_arrays_that_do_not_fit_are_the_errors_of_the_cpu(shim: ShimCard, wrong: object) -> None:
    fn = BY_NAME["linear"]
    x, w, b = arrays_for(fn)
    assert callable(wrong)
    told = []
    for run in (executable_on(shim, fn), ml.compile(fn)):
        with pytest.raises(InputError) as error:
            run(wrong(x), w, b)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_what_is_given_away_must_be_an_array_that_can_be_written(shim: ShimCard) -> None:
    @ml.function(f32[8])
    def doubled(x: Value) -> Value:
        return x * 2.0

    run = executable_on(shim, doubled.donating({"x": 0}))
    fixed = np.ones(8, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(InputError, match=r"'x': .* got a read-only one; fix: x\.copy\(\)"):
        run(fixed)
    with pytest.raises(InputError, match="'x' is written to, so it must be a NumPy array; got"):
        run(fixed.data)
    right = np.ones(8, np.float32)
    assert run(right) is right
    np.testing.assert_array_equal(right, 2.0)


def test_counts_and_names_are_checked(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["linear"])
    x, w, b = arrays_for(BY_NAME["linear"])
    close(run(x, b=b, w=w), np.maximum(x @ w + b, 0))
    with pytest.raises(InputError, match=r"expected 3 arrays \('x', 'w', 'b'\), got 2"):
        run(x, w)
    with pytest.raises(InputError, match="no parameter v"):
        run(x, w, v=b)


def test_results_must_not_lie_in_what_is_read(shim: ShimCard) -> None:
    @ml.function(f32[8])
    def negated(x: Value) -> Value:
        return -x

    run = executable_on(shim, negated)
    x = np.ones(8, np.float32)
    with pytest.raises(InputError, match="overlaps 'x' in memory"):
        run(x, out=x)
    there = uploaded(shim, x)
    with pytest.raises(InputError, match="overlaps 'x' in memory"):
        run(there, out=there)


def test_an_array_of_another_card_is_refused(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["halved"])
    there = uploaded(ShimCard(dlpack=(2, 1)), np.ones(8, np.float32))
    with pytest.raises(InputError, match=r"'x' is on DLPack's device \(2, 1\), this executable on"):
        run(there)
