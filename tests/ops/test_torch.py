"""The functions that torch has too give what torch gives, in f64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlir_lite import ops
from mlir_lite.ops.images.grid_sample import GridSample
from mlir_lite.types import Array, f64

from .sample import normal, value_like
from .samples.windows import CONVOLUTIONS, POOLINGS, TRANSPOSED, Case
from .traced import run

if TYPE_CHECKING:
    import torch
    from torch.nn import functional
else:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional


def _check(actual: Array, expected: torch.Tensor) -> None:
    # Sums of some hundreds of products of numbers around 1, in another order.
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-12, atol=1e-12)


def _even(case: Case) -> bool:
    return all(low == high for low, high in case.padding)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: case.comment)
def test_conv(case: Case) -> None:
    x, weight = normal(case.x, f64), normal(case.weight, f64, 1)
    bias = normal(case.weight[:1], f64, 2)
    rank = len(case.x) - 2
    pads = [width for pair in reversed(case.padding) for width in pair]
    padded = functional.pad(torch.from_numpy(x), pads)
    wanted = getattr(functional, f"conv{rank}d")(
        padded,
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        case.strides,
        0,
        case.dilations,
        case.groups,
    )
    actual = run(
        lambda x, w, b: ops.conv(
            x,
            w,
            b,
            strides=case.strides,
            padding=case.padding,
            dilations=case.dilations,
            groups=case.groups,
        ),
        x,
        weight,
        bias,
    )
    _check(actual, wanted)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_of_torchs_names(rank: int) -> None:
    x, weight = normal((2, 4) + (7,) * rank, f64), normal((6, 2) + (3,) * rank, f64, 1)
    bias = normal((6,), f64, 2)
    tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
    wanted = getattr(functional, f"conv{rank}d")(*tensors, 2, 1, 2, 2)
    ours = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}[rank]
    _check(run(lambda x, w, b: ours(x, w, b, 2, 1, 2, 2), x, weight, bias), wanted)


@pytest.mark.parametrize("case, extra", TRANSPOSED, ids=lambda entry: getattr(entry, "comment", ""))
def test_conv_transpose(case: Case, extra: tuple[int, ...]) -> None:
    x, weight = normal(case.x, f64), normal(case.weight, f64, 1)
    bias = normal((case.weight[1] * case.groups,), f64, 2)
    rank = len(case.x) - 2
    # Torch wants the added rows below the stride and the padding even: they are cut off by hand.
    wanted = getattr(functional, f"conv_transpose{rank}d")(
        torch.from_numpy(x),
        torch.from_numpy(weight),
        None,
        case.strides,
        0,
        extra,
        case.groups,
        case.dilations,
    )
    kept = [
        slice(low, size - high)
        for (low, high), size in zip(case.padding, wanted.shape[2:], strict=True)
    ]
    wanted = wanted[(slice(None), slice(None), *kept)]
    wanted = wanted + torch.from_numpy(bias).reshape(-1, *(1,) * rank)
    actual = run(
        lambda x, w, b: ops.conv_transpose(
            x,
            w,
            b,
            strides=case.strides,
            padding=case.padding,
            output_padding=extra,
            dilations=case.dilations,
            groups=case.groups,
        ),
        x,
        weight,
        bias,
    )
    _check(actual, wanted)


_TORCHS_POOLS = [
    case
    for case in POOLINGS
    if _even(case)
    and case.x[0] > 0
    and all(2 * low <= size for (low, _), size in zip(case.padding, case.weight[2:], strict=True))
]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("case", _TORCHS_POOLS, ids=lambda case: case.comment)
def test_max_pool(case: Case, ceil_mode: bool) -> None:
    x = normal(case.x, f64)
    rank = len(case.x) - 2
    wanted = getattr(functional, f"max_pool{rank}d")(
        torch.from_numpy(x),
        case.weight[2:],
        case.strides,
        [low for low, _ in case.padding],
        case.dilations,
        ceil_mode,
    )
    actual = run(
        lambda x: ops.max_pool(
            x,
            case.weight[2:],
            strides=case.strides,
            padding=case.padding,
            dilations=case.dilations,
            ceil_mode=ceil_mode,
        ),
        x,
    )
    _check(actual, wanted)


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("case", _TORCHS_POOLS, ids=lambda case: case.comment)
def test_average_pool(case: Case, ceil_mode: bool, count_include_pad: bool) -> None:
    x = normal(case.x, f64)
    rank = len(case.x) - 2
    wanted = getattr(functional, f"avg_pool{rank}d")(
        torch.from_numpy(x),
        case.weight[2:],
        case.strides,
        [low for low, _ in case.padding],
        ceil_mode,
        count_include_pad,
    )
    actual = run(
        lambda x: ops.average_pool(
            x,
            case.weight[2:],
            strides=case.strides,
            padding=case.padding,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
        ),
        x,
    )
    _check(actual, wanted)


def test_global_pools() -> None:
    x = normal((2, 3, 5, 4), f64)
    tensor = torch.from_numpy(x)
    _check(run(ops.global_average_pool, x), functional.adaptive_avg_pool2d(tensor, 1))
    _check(run(ops.global_max_pool, x), functional.adaptive_max_pool2d(tensor, 1))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis: int) -> None:
    x = normal((3, 4, 5), f64) * 10
    tensor = torch.from_numpy(x)
    _check(run(lambda x: ops.softmax(x, axis), x), functional.softmax(tensor, axis))
    _check(
        run(lambda x: ops.log_softmax(x, axis), x), functional.log_softmax(tensor, axis)
    )


def test_norms() -> None:
    x = normal((2, 6, 5, 4), f64) * 3 + 1
    channels = [normal((6,), f64, seed) for seed in range(1, 5)]
    last = [normal((5, 4), f64, seed) for seed in range(1, 3)]
    channels[3] = np.abs(channels[3]) + 0.5
    tensor, (scale, bias, mean, variance) = torch.from_numpy(x), map(torch.from_numpy, channels)
    weight, shift = map(torch.from_numpy, last)
    _check(
        run(lambda x, s, b: ops.layer_norm(x, s, b, axis=-2), x, *last),
        functional.layer_norm(tensor, (5, 4), weight, shift),
    )
    _check(
        run(lambda x, s: ops.rms_norm(x, s, axis=2, epsilon=1e-3), x, last[0]),
        functional.rms_norm(tensor, (5, 4), weight, 1e-3),
    )
    _check(
        run(lambda x, s, b, m, v: ops.batch_norm(x, s, b, m, v), x, *channels),
        functional.batch_norm(tensor, mean, variance, scale, bias),
    )
    _check(
        run(lambda x, s, b: ops.group_norm(x, 3, s, b), x, *channels[:2]),
        functional.group_norm(tensor, 3, scale, bias),
    )
    _check(
        run(lambda x, s, b: ops.instance_norm(x, s, b), x, *channels[:2]),
        functional.instance_norm(tensor, weight=scale, bias=bias),
    )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_norm(size: int) -> None:
    x = normal((2, 7, 3, 4), f64) * 10
    _check(
        run(
            lambda x: ops.local_response_norm(x, size, alpha=0.1, beta=0.6, bias=2.0), x
        ),
        functional.local_response_norm(torch.from_numpy(x), size, 0.1, 0.6, 2.0),
    )


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool) -> None:
    q, k, v = (normal((2, 3, rows, 8), f64, seed) for seed, rows in enumerate((5, 7, 7)))
    query, key, value = map(torch.from_numpy, (q, k, v))
    _check(
        run(lambda q, k, v: ops.attention(q, k, v, causal=causal), q, k, v),
        functional.scaled_dot_product_attention(query, key, value, is_causal=causal),
    )


@pytest.mark.parametrize("boolean", [False, True])
def test_attention_with_a_mask(boolean: bool) -> None:
    q, k, v = (normal((2, 3, rows, 8), f64, seed) for seed, rows in enumerate((5, 7, 7)))
    mask = normal((2, 1, 5, 7), f64, 3)
    given = mask > -1 if boolean else mask
    query, key, value, attend = map(torch.from_numpy, (q, k, v, given))
    _check(
        run(
            lambda q, k, v, m: ops.scaled_dot_product_attention(q, k, v, m, scale=0.5),
            q,
            k,
            v,
            given,
        ),
        functional.scaled_dot_product_attention(query, key, value, attend, scale=0.5),
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode: str, padding: str, align_corners: bool) -> None:
    x, grid = normal((2, 3, 5, 7), f64), 1.5 * normal((2, 4, 3, 2), f64, 1)
    tensors = torch.from_numpy(x), torch.from_numpy(grid)
    wanted = functional.grid_sample(*tensors, mode, padding, align_corners)
    values = value_like("x", x), value_like("grid", grid)
    op = GridSample(*values, mode, padding, align_corners)
    _check(op.reference(x, grid), wanted)
    _check(run(op.decompose, x, grid), wanted)


def test_grid_sample_of_a_volume() -> None:
    x, grid = normal((1, 2, 2, 3, 4), f64), normal((1, 2, 2, 5, 3), f64, 1)
    tensors = torch.from_numpy(x), torch.from_numpy(grid)
    wanted = functional.grid_sample(*tensors, align_corners=True)
    _check(run(lambda x, grid: ops.grid_sample(x, grid, align_corners=True), x, grid), wanted)
