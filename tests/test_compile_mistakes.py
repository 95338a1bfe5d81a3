"""What `ml.compile` and an executable say to what they cannot take."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32, nn


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "gpu"}, ml.UnsupportedError, "no backend for the target 'gpu'"),
        ({"target": "cpu:pentium"}, ml.UnsupportedError, "unknown target 'cpu:pentium'"),
        ({"winograd": 3}, ml.InputError, "winograd is auto, off, 2 or 4, not 3"),
        ({"strassen": "yes"}, ml.InputError, "strassen is auto or off, not yes"),
        ({"precision": "f16"}, ml.UnsupportedError, "cpu has no precision 'f16'"),
        ({"passes": "cpu,fuze"}, ml.InputError, "no pass 'fuze'.*did you mean 'fuse'"),
        ({"passes": ["fuse"]}, ml.InputError, "passes is a text such as 'cpu'"),
        ({"verify": "much"}, ml.InputError, "verify must be off, structure or each-pass"),
    ],
)
def test_impossible_options_are_refused_before_sizes_are_known(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    @ml.function(f32["n"])
    def doubled(x: Value) -> Value:
        return x + x

    with pytest.raises(error, match=message):
        ml.compile(doubled, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nn.Linear(3, 4), r"that of the module Linear is ml.function\(module, f32"),
        (len, r"a function that @ml.function\(f32\[8, 16\]\) made, not len"),
    ],
)
def test_what_is_no_function_is_refused_with_advice(given: Any, message: str) -> None:
    with pytest.raises(ml.InputError, match=message):
        ml.compile(given)


def test_an_executable_shows_what_it_is_and_numpys_sizes_are_sizes() -> None:
    @ml.function(f32["n"])
    def doubled(x: Value) -> Value:
        return x + x

    run = ml.compile(doubled)
    assert repr(run) == "<Executable @doubled for cpu>"
    size: Any = np.int64(3)
    assert run.for_sizes({"n": size}) is run.for_sizes({"n": 3})
    assert repr(run) == "<Executable @doubled for cpu, compiled for n=3>"


@pytest.mark.parametrize(
    ("arrays", "named", "message"),
    [
        (1, {}, r"@scaled takes 2 arrays \(x, factor\), got 1"),
        (3, {}, r"@scaled takes 2 arrays \(x, factor\), got 3"),
        (2, {"factor"}, r"@scaled takes 2 arrays \(x, factor\), got 3"),
        (1, {"fcator"}, r"no parameter 'fcator' \(near: 'factor'\); it has x, factor"),
    ],
)
def test_arrays_are_counted_with_those_given_by_name(
    arrays: int, named: set[str], message: str
) -> None:
    @ml.function(f32["n"], f32["n"])
    def scaled(x: Value, factor: Value) -> Value:
        return x * factor

    x = np.ones(3, np.float32)
    with pytest.raises(ml.InputError, match=message):
        ml.compile(scaled)(*[x] * arrays, **dict.fromkeys(named, x))


def test_copies_are_functions_and_executables_that_pickle_refuses_with_advice() -> None:
    @ml.function(f32["n"])
    def doubled(x: Value) -> Value:
        return x + x

    run, x = ml.compile(doubled), np.ones(3, np.float32)
    run(x)
    for copied in (copy.copy(run), copy.deepcopy(run)):
        assert copied is not run
        np.testing.assert_array_equal(copied(x), 2 * x)
    assert copy.deepcopy(doubled) is doubled
    with pytest.raises(TypeError, match=r"a function is not pickled: its text, str\(fn\)"):
        pickle.dumps(doubled)
    with pytest.raises(TypeError, match="compile the function in the other one"):
        pickle.dumps(run)


def test_a_folder_of_dumps_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fn = ml.function(f32[2])(lambda x: x + x)
    with pytest.raises(ml.InputError, match=r"no dumps can be written to '.*/file' \("):
        ml.compile(fn, dump=tmp_path / "file")


def test_passes_may_be_a_text() -> None:
    @ml.function(f32[3, 5])
    def there_and_back(x: Value) -> Value:
        return ml.exp(x.T.T)

    run = ml.compile(there_and_back, passes="canonicalize,cpu")
    x = np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5)
    np.testing.assert_allclose(run(x), np.exp(x.astype(np.float64)), rtol=1e-6)
    assert "transpose" not in run.stages["fused"]


def test_a_stage_that_is_not_there_is_told_which_are() -> None:
    run = ml.compile(ml.function(f32[3])(lambda x: ml.exp(x)))
    with pytest.raises(KeyError, match="no stage 'ptx'; there are graph, report, fused, "):
        run.stages["ptx"]
    assert "ptx" not in run.stages and run.stages.get("ptx", "none") == "none"


def test_a_layer_that_is_not_there_is_told_the_nearest() -> None:
    with pytest.raises(AttributeError, match="no layer 'LeakyRelu'; did you mean 'LeakyReLU'"):
        getattr(nn, "LeakyRelu")  # noqa: B009 (the type checker knows that it is not there)


def test_axes_that_are_called_as_in_torch_are_told_their_name() -> None:
    with pytest.raises(TypeError) as caught:
        ml.function(f32[3, 4])(lambda x: x.mean(dim=0))
    assert caught.value.__notes__ == ["axes are given as axis= here, and keepdims=, as in NumPy"]
