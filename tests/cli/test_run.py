"""`mlir-lite run`: arrays in, results printed and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlir_lite.types import Array

from .conftest import Cli


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, Path]:
    random = np.random.default_rng(0)
    files = {}
    for name, shape in {"x": (3, 8), "w": (8, 4)}.items():
        files[name] = tmp_path / f"{name}.npy"
        np.save(files[name], random.standard_normal(shape).astype(np.float32))
    return files


def inputs(arrays: dict[str, Path]) -> list[str]:
    return [part for name, path in arrays.items() for part in ("--input", f"{name}={path}")]


def test_results_are_saved(
    cli: Cli, layer: Path, arrays: dict[str, Path], tmp_path: Path
) -> None:
    done = cli("run", layer, *inputs(arrays), "--output", tmp_path / "out", "--threads", 1)
    assert done.code == 0
    x, w = (np.load(arrays[name]).astype(np.float64) for name in ("x", "w"))
    result = np.load(tmp_path / "out" / "result.npy")
    assert result.dtype == np.float32
    # Sums of 8 products of numbers about 1: some units in the last place.
    np.testing.assert_allclose(result, np.maximum(x @ w, 0), rtol=1e-5, atol=1e-6)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.npy"]


def test_results_are_described(cli: Cli, layer: Path, arrays: dict[str, Path]) -> None:
    done = cli("run", layer, *inputs(arrays))
    name, type_, smallest, mean, largest = done.out.splitlines()[1].split()
    x, w = (np.load(arrays[name]).astype(np.float64) for name in ("x", "w"))
    expected = np.maximum(x @ w, 0)
    assert (name, type_) == ("result", "tensor<3x4xf32>")
    described = [float(smallest), float(mean), float(largest)]
    np.testing.assert_allclose(
        described, [expected.min(), expected.mean(), expected.max()], rtol=1e-5, atol=1e-6
    )


def test_random_inputs_follow_their_seed(cli: Cli, layer: Path) -> None:
    results = [
        cli("run", layer, "--shape", "batch=2", "--random-inputs", seed).out.splitlines()[1]
        for seed in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]


def test_missing_input_is_named(cli: Cli, layer: Path, arrays: dict[str, Path]) -> None:
    done = cli("run", layer, "--input", f"x={arrays['x']}")
    assert done.code == 1
    assert "the input 'w', tensor<8x4xf32>, is missing" in done.err


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 9), np.float32), "is tensor<[batch]x8xf32>, got an array of shape (3, 9)"),
        (np.zeros((3, 8), np.float64), "x.astype(np.float32)"),
    ],
)
def test_input_that_does_not_fit_is_an_error(
    cli: Cli, layer: Path, arrays: dict[str, Path], array: Array, message: str
) -> None:
    np.save(arrays["x"], array)
    done = cli("run", layer, *inputs(arrays))
    assert done.code == 1
    assert message in done.err


def test_unknown_input_is_an_error(cli: Cli, layer: Path, arrays: dict[str, Path]) -> None:
    done = cli("run", layer, "--input", f"z={arrays['x']}")
    assert done.code == 1
    assert "@layer has no parameter 'z'; there are x, w" in done.err


def test_file_that_is_no_array_is_an_error(cli: Cli, layer: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_text("not an array")
    done = cli("run", layer, "--input", f"x={tmp_path / 'x.npy'}")
    assert done.code == 1
    assert "is no .npy file that can be read" in done.err


def test_pickled_array_is_refused(cli: Cli, layer: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    assert cli("run", layer, "--input", f"x={tmp_path / 'x.npy'}").code == 1


def test_zero_threads_are_wrong_usage(cli: Cli, layer: Path) -> None:
    done = cli("run", layer, "--threads", 0)
    assert done.code == 2
    assert "expected a number from 1 on, got '0'" in done.err


def test_onnx_results_have_their_names(cli: Cli, product_onnx: Path, tmp_path: Path) -> None:
    shape, output = ("--shape", "x=5x64"), ("--output", tmp_path / "out")
    done = cli("run", product_onnx, *shape, "--random-inputs", 0, *output)
    assert done.code == 0
    assert np.load(tmp_path / "out" / "y.npy").shape == (5, 33)


def test_a_value_may_be_a_scalar(cli: Cli, scalar_onnx: Path) -> None:
    given = cli("run", scalar_onnx, "--random-inputs", 0, "--value", "s=2")
    assert "tensor<2x3xf32>" in given.out


def test_what_needs_sizes_is_told_as_an_argument(cli: Cli, size_onnx: Path) -> None:
    asked = cli("run", size_onnx, "--random-inputs", 0)
    assert "import with shapes=" in asked.err
    assert asked.err.endswith("\nHere that is --shape x=1x3x8\n")


def test_value_that_decides_a_shape(cli: Cli, reshape_onnx: Path, tmp_path: Path) -> None:
    asked = cli("run", reshape_onnx, "--random-inputs", 0)
    assert asked.code == 1
    assert "--value s=" in asked.err
    given = cli("run", reshape_onnx, "--random-inputs", 0, "--value", "s=8,3")
    assert "tensor<8x3xf32>" in given.out
    np.save(tmp_path / "s.npy", np.array([2, 12]))
    np.save(tmp_path / "x.npy", np.zeros((6, 4), np.float32))
    files = [f"s={tmp_path / 's.npy'}", f"x={tmp_path / 'x.npy'}"]
    from_file = cli("run", reshape_onnx, "--input", files[0], "--input", files[1])
    assert "tensor<2x12xf32>" in from_file.out
