"""The reference backend runs the very program that machine code is made of."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f32


@ml.function(f32["batch", 12], f32[12, 5], f32[5])
def classifier(x: Value, w: Value, b: Value) -> Value:
    return ml.softmax(x @ w + b)


def inputs() -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    random = np.random.default_rng(0)
    return [random.standard_normal(shape, np.float32) for shape in ((7, 12), (12, 5), (5,))]


def test_it_agrees_with_machine_code_and_with_the_oracle() -> None:
    given = inputs()
    interpreted = ml.compile(classifier, target="reference")(*given)
    # A sum of twelve products and an exponential in float32: some ten roundings.
    np.testing.assert_allclose(interpreted, ml.compile(classifier)(*given), rtol=1e-5)
    np.testing.assert_allclose(interpreted, ml.evaluate(classifier, *given), rtol=1e-5)


def test_its_tile_text_is_the_program_that_ran() -> None:
    run = ml.compile(classifier, target="reference")
    run(*inputs())
    assert run.stages["tile"] == str(run.program)
    pictures = {"svg", "dot", "mermaid"}
    assert set(run.stages) == {"graph", "report", "fused", "tile"} | pictures


def test_arrays_go_in_by_name_and_results_into_out() -> None:
    x, w, b = inputs()
    run = ml.compile(classifier, target="reference")
    out = np.empty((7, 5), np.float32)
    assert run(x, b=b, w=w, out=out) is out
    np.testing.assert_array_equal(out, run(x, w, b))
    with pytest.raises(InputError, match="2 arrays in out"):
        run(x, w, b, out=[out, out])
