"""What is kept between runs: a second start is the same to the bit and runs no pass, and whatever
could make a difference is made anew."""

import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64, warm
from mlir_lite.backends.cache_folder import default_cache_folder
from mlir_lite.ir import ConstantData
from mlir_lite.ir.resources import constants_of

RNG = np.random.default_rng(3)
WEIGHT = RNG.standard_normal((96, 80), np.float32)
BIAS = RNG.standard_normal(80, np.float32)
X = RNG.standard_normal((7, 96), np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def dense(weight: np.ndarray = WEIGHT, bias: np.ndarray = BIAS) -> Function:
    @ml.function(f32[7, 96], f32[96, 80], f32[80])
    def layer(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(x @ w + b)

    return layer.bind({"w": weight, "b": bias})


def ran_passes(executable: ml.Executable) -> bool:
    return "passes" in executable.compile_seconds


def test_a_second_start_runs_no_pass_and_is_the_same() -> None:
    cold = ml.compile(dense())
    started = ml.compile(dense())
    assert ran_passes(cold)
    assert not ran_passes(started)
    np.testing.assert_array_equal(started(X), cold(X))
    assert started.memory == cold.memory
    np.testing.assert_array_equal(started.clone()(X), cold(X))


def test_its_stages_can_be_read() -> None:
    cold, started = ml.compile(dense()), ml.compile(dense())
    assert set(started.stages) == set(cold.stages)
    for stage in ("graph", "fused", "tile", "llvm"):
        assert started.stages[stage] == cold.stages[stage]
    assert started.program == cold.program


def test_other_weights_are_packed_anew() -> None:
    ml.compile(dense())
    other = WEIGHT[::-1].copy()
    started = ml.compile(dense(other))
    assert not ran_passes(started)
    expected = np.maximum(X.astype("f8") @ other + BIAS, 0)
    np.testing.assert_allclose(started(X), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        lambda: dense(bias=BIAS + 1),  # stands in the program, or may
        lambda: dense_of_other_size(),
    ],
)
def test_what_the_program_depends_on_misses(changed: Callable[[], Function]) -> None:
    ml.compile(dense())
    assert ran_passes(ml.compile(changed()))


def dense_of_other_size() -> Function:
    @ml.function(f32[6, 96], f32[96, 80], f32[80])
    def layer(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(x @ w + b)

    return layer.bind({"w": WEIGHT, "b": BIAS})


NAME = """
import mlir_lite as ml
from mlir_lite import f32, warm
from mlir_lite.backends.llvm.backend import cpu_target

fn = ml.function(f32[4])(ml.relu)
print(warm.entry_name(fn, *cpu_target("cpu:sapphirerapids"), ()))
"""


def test_every_process_finds_the_same_entry() -> None:
    """Whatever order sets have in it."""
    names = {
        subprocess.run(
            [sys.executable, "-c", NAME],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(names) == 1


def test_other_options_miss() -> None:
    ml.compile(dense())
    assert ran_passes(ml.compile(dense(), winograd="off"))


def test_who_watches_the_passes_sees_them() -> None:
    ml.compile(dense())
    seen: list[str] = []
    ml.compile(dense(), observe=lambda record, _: seen.append(record.name))
    assert "fuse" in seen


def test_data_that_a_pass_has_read_must_be_the_same() -> None:
    fn = dense()
    watch = warm.Watch.on(fn)
    assert not watch.reads
    (weight,) = [data for data in constants_of(watch.function) if not data.is_small]
    weight.array()
    assert watch.reads == {0}
    started = ml.compile(fn)
    (path,) = own_entries()
    kept = warm.find(path.name, fn)
    assert kept is not None and not ran_passes(ml.compile(fn))
    warm.keep(path.name, watch, kept)
    assert warm.find(path.name, fn) is not None
    assert warm.find(path.name, dense(WEIGHT * 2)) is None
    np.testing.assert_array_equal(started(X), ml.compile(fn)(X))


def own_entries() -> list[Path]:
    return list(default_cache_folder().path.glob("*.program"))


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_entry_is_made_anew(damage: bytes | None) -> None:
    expected = ml.compile(dense())(X)
    (path,) = own_entries()
    data = path.read_bytes()
    path.write_bytes(data[:-7] + b"changed" if damage is None else damage)
    again = ml.compile(dense())
    assert ran_passes(again)
    np.testing.assert_array_equal(again(X), expected)
    assert path.read_bytes() == data


def test_faults_of_the_data_still_name_the_line() -> None:
    @ml.function(f32[4, 3], i64[2])
    def pick(x: Value, at: Value) -> Value:
        return ml.gather(x, at)

    for _ in range(2):
        run = ml.compile(pick)
        with pytest.raises(ml.errors.RunError, match=r"test_warm\.py:\d+: .*"):
            run(np.ones((4, 3), "f4"), np.array([0, 9]))
    assert not ran_passes(run)


def test_a_convolution_is_prepared_from_its_weights() -> None:
    """Winograd's filters and panels are recorded operations, not data."""
    weight = RNG.standard_normal((32, 32, 3, 3), np.float32)

    @ml.function(f32[1, 32, 28, 28], f32[32, 32, 3, 3])
    def conv(x: Value, w: Value) -> Value:
        return ml.conv2d(x, w, padding=1)

    x = RNG.standard_normal((1, 32, 28, 28), np.float32)
    fn = conv.bind({"w": weight})
    cold, started = ml.compile(fn), ml.compile(fn)
    assert not ran_passes(started)
    np.testing.assert_array_equal(started(x), cold(x))
    (path,) = own_entries()
    assert path.stat().st_size < weight.nbytes


def test_what_is_read_of_bf16_is_told_by_its_bytes() -> None:
    """NumPy lends it to nobody as elements; what passes read of constants is kept as a digest."""
    data = ConstantData.of(np.zeros(3).astype(ml.bf16.numpy))
    assert data.digest() == sha256(bytes(6)).hexdigest()
