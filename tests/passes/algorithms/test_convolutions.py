"""How convolutions are chosen to be computed: by cost, by measured error, and as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.driver import compile
from mlir_lite.ir import Builder, ConstantData, Function, Value, parameter
from mlir_lite.ops.base.constant import constant
from mlir_lite.ops.table import TABLE
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.passes.algorithms.accuracy import direct_error, winograd_error
from mlir_lite.passes.algorithms.convolutions import (
    LAYER_LIMIT,
    MODEL_LIMIT,
    Errors,
    Layer,
    plan_convolutions,
)
from mlir_lite.passes.algorithms.winograd import choose_algorithms
from mlir_lite.target import named_target
from mlir_lite.types import Array, TensorType, f32


def normal_filters(outer: int, inner: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return random.standard_normal((outer, inner, 3, 3)).astype(np.float32)


def cancelling_pair(inner: int) -> Array:
    """Filters with two channels a thousand times the others: what is lost of them is large beside
    what is left of their difference at a transform's larger factors."""
    filters = normal_filters(32, inner)
    filters[:, 0], filters[:, 1] = 1e3, -1e3
    return filters


def cancelling_halves(inner: int) -> Array:
    """Filters that take half of the channels from the other half: large partial sums, and a
    result that is small beside them."""
    filters = 0.1 * normal_filters(32, inner)
    filters[:, : inner // 2] += 1
    filters[:, inner // 2 :] -= 1
    return filters


def layers(*filters: Array, size: int = 28, algorithm: str = "direct") -> Function:
    """Convolutions of one image after the other, each by its filters, channels-last."""
    builder = Builder(TABLE)
    params: list[Value] = []
    results: list[Value] = []
    data = {id(array): ConstantData.of(array, "w") for array in filters}
    with builder.active():
        for number, array in enumerate(filters):
            shape = (1, size, size, array.shape[1])
            x = parameter(f"x{number}", TensorType(shape, f32))
            weight = constant(data[id(array)])
            padding = ((1, 1), (1, 1))
            conv = Conv(x, weight, (1, 1), padding, (1, 1), 1, "nhwc", algorithm)
            params.append(x)
            results.extend(builder.emit(conv))
    return builder.finish("net", params, results)


def plan(fn: Function, choice: str | int = "auto") -> tuple[tuple[Layer, ...], Errors]:
    target = named_target("cpu:avx512")
    assert target is not None
    errors = Errors()
    return plan_convolutions(fn, errors, target=target, choice=choice), errors


def exact(x: Array, filters: Array) -> Array:
    """The convolution without padding, in f64."""
    height, width = x.shape[1] - 2, x.shape[2] - 2
    wide, taps = x.astype(np.float64), filters.astype(np.float64)
    return np.asarray(
        sum(
            wide[:, i : i + height, j : j + width] @ taps[:, :, i, j].T
            for i in range(3)
            for j in range(3)
        )
    )


# Measuring


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("inner", [3, 64, 256])
def test_error_is_some_roundings_of_the_largest_output(tile: int, inner: int) -> None:
    """More than half a unit in the last place, less than with the points 0, ±1, ±2."""
    assert 3e-8 < winograd_error(normal_filters(40, inner), tile) < 8e-6


def test_larger_tiles_and_more_channels_lose_more() -> None:
    few, many = normal_filters(32, 32), normal_filters(32, 512)
    assert winograd_error(few, 2) < winograd_error(few, 4) < winograd_error(many, 4)
    assert direct_error(few) < direct_error(many)


def test_filters_of_zeros_have_no_error() -> None:
    assert winograd_error(np.zeros((4, 4, 3, 3), np.float32), 4) == 0


def test_what_rounds_nowhere_has_no_error_directly() -> None:
    """A filter that copies one channel: each sum has one term that is not zero."""
    filters = np.zeros((1, 8, 3, 3), np.float32)
    filters[0, 3, 1, 1] = 1
    assert direct_error(filters) == 0 < winograd_error(filters, 4)


def test_largest_filters_are_in_the_sample() -> None:
    """Which of a hundred channels are large must not matter."""
    filters = 1e-3 * normal_filters(100, 16)
    filters[77] *= 1e3
    assert winograd_error(filters, 4) == pytest.approx(winograd_error(filters[77:78], 4), rel=0.2)


# Choosing


def test_what_is_accurate_keeps_the_cheapest_algorithm() -> None:
    found, errors = plan(layers(normal_filters(128, 128)))
    assert [layer.algorithm for layer in found] == ["winograd4"]
    assert found[0].note == ""
    error = errors.of(found[0].conv, "winograd4")
    assert error is not None and error <= LAYER_LIMIT


def test_inaccurate_tiles_of_four_fall_back_to_two() -> None:
    filters = cancelling_pair(256)
    assert winograd_error(filters, 4) > LAYER_LIMIT > winograd_error(filters, 2)
    ((layer,), _) = plan(layers(filters))
    assert layer.algorithm == "winograd2"
    assert layer.note.startswith("not winograd4: its error was ")


def test_inaccurate_tiles_of_two_fall_back_to_direct() -> None:
    filters = cancelling_halves(512)
    assert winograd_error(filters, 2) > LAYER_LIMIT
    ((layer,), _) = plan(layers(filters))
    assert layer.algorithm == "direct"
    assert "not winograd4" in layer.note and "not winograd2" in layer.note


def test_many_layers_fall_back_until_they_lose_little_together() -> None:
    nets = [normal_filters(64, 128, seed) for seed in range(60)]
    found, errors = plan(layers(*nets))
    every = [errors.of(layer.conv, "winograd4") or 0.0 for layer in found]
    assert sum(every) > MODEL_LIMIT >= errors.sum_of(found)
    fallen = [place for place, layer in enumerate(found) if layer.algorithm != "winograd4"]
    assert 0 < len(fallen) < len(found)
    assert all("the errors of all layers were" in found[place].note for place in fallen)
    kept = max(every[place] for place in range(len(found)) if place not in fallen)
    assert min(every[place] for place in fallen) >= kept  # the worst ones first


@pytest.mark.parametrize(("choice", "algorithm"), [(2, "winograd2"), (4, "winograd4")])
def test_what_is_asked_for_is_done_however_inaccurate(choice: int, algorithm: str) -> None:
    ((layer,), _) = plan(layers(cancelling_halves(512)), choice)
    assert (layer.algorithm, layer.note) == (algorithm, "")


def test_what_is_written_on_a_convolution_is_done_too() -> None:
    ((layer,), _) = plan(layers(cancelling_halves(512), algorithm="winograd4"))
    assert layer.algorithm == "winograd4"


def test_same_filters_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def counting(weight: Array, tile: int) -> float:
        measured.append(tile)
        return winograd_error(weight, tile)

    monkeypatch.setattr("mlir_lite.passes.algorithms.convolutions.winograd_error", counting)
    filters = normal_filters(128, 128)
    plan(layers(filters, filters, filters))
    assert measured == [4]


def test_the_plan_is_what_is_written_on_the_convolutions() -> None:
    fn = layers(normal_filters(128, 128), cancelling_pair(256))
    target = named_target("cpu:avx512")
    assert target is not None
    chosen = choose_algorithms(fn, target=target, choice="auto")
    convs = [node.op for node in chosen.nodes if isinstance(node.op, Conv)]
    assert [conv.algorithm for conv in convs] == ["winograd4", "winograd2"]


def test_the_sample_tells_what_a_layer_loses() -> None:
    """Over a whole layer in machine code, the error is within what the sample says."""
    filters = normal_filters(32, 64)
    fn = layers(filters, size=24)
    x = np.random.default_rng(5).standard_normal((1, 24, 24, 64)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = exact(padded, filters)
    for tile in (2, 4):
        have = np.asarray(compile(fn, winograd=tile, threads=1)(x))
        lost = np.abs(have - want).max() / np.abs(want).max()
        assert lost / 2 <= winograd_error(filters, tile) <= 4 * lost
