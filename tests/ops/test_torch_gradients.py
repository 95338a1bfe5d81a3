"""The gradients of functions that torch has too are torch's, in f64."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, ops
from mlir_lite.ir import run_reference
from mlir_lite.types import Array, f64

from .sample import normal, value_like
from .samples.windows import CONVOLUTIONS, POOLINGS, TRANSPOSED, Case
from .traced import trace

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    Tensor = torch.Tensor


def check(ours: Callable[..., Value], theirs: Callable[..., Tensor], *arrays: Array) -> None:
    """The gradients of all arrays, of a random weighting of the result."""
    params = [value_like(f"p{k}", array) for k, array in enumerate(arrays)]
    fn = trace(ours, *params)
    weights = normal(fn.result_types[0].static_shape, f64, 9)
    found = run_reference(ml.vjp(fn), [*arrays, weights])[1:]
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    theirs(*tensors).backward(torch.from_numpy(weights))
    for have, tensor in zip(found, tensors, strict=True):
        assert tensor.grad is not None
        # Sums of some hundreds of products of numbers around 1, in another order.
        np.testing.assert_allclose(have, tensor.grad.numpy(), rtol=1e-11, atol=1e-12)


def padded(x: Tensor, case: Case) -> Tensor:
    return functional.pad(x, [width for pair in reversed(case.padding) for width in pair])


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: case.comment)
def test_conv(case: Case) -> None:
    convolution = getattr(functional, f"conv{len(case.x) - 2}d")
    check(
        lambda x, w, b: ops.conv(
            x,
            w,
            b,
            strides=case.strides,
            padding=case.padding,
            dilations=case.dilations,
            groups=case.groups,
        ),
        lambda x, w, b: convolution(
            padded(x, case), w, b, case.strides, 0, case.dilations, case.groups
        ),
        normal(case.x, f64),
        normal(case.weight, f64, 1),
        normal(case.weight[:1], f64, 2),
    )


_EVEN = [
    (case, extra)
    for case, extra in TRANSPOSED
    if all(low == high for low, high in case.padding) and case.x[0]
]


@pytest.mark.parametrize(("case", "extra"), _EVEN, ids=lambda entry: str(entry)[:40])
def test_conv_transpose(case: Case, extra: tuple[int, ...]) -> None:
    convolution = getattr(functional, f"conv_transpose{len(case.x) - 2}d")
    pads = tuple(low for low, _ in case.padding)
    check(
        lambda x, w: ops.conv_transpose(
            x,
            w,
            strides=case.strides,
            padding=case.padding,
            output_padding=extra,
            dilations=case.dilations,
            groups=case.groups,
        ),
        lambda x, w: convolution(
            x, w, None, case.strides, pads, extra, case.groups, case.dilations
        ),
        normal(case.x, f64),
        normal(case.weight, f64, 1),
    )


# Where a window sees padding alone, or padding is more than half of one, torch has no answer.
_POOLED = [POOLINGS[number] for number in (0, 1, 2, 9, 10)]


@pytest.mark.parametrize("case", _POOLED[:4], ids=lambda case: case.comment)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools(case: Case, ceil_mode: bool) -> None:
    rank, window = len(case.x) - 2, case.weight[2:]
    maximum, average = (getattr(functional, f"{name}_pool{rank}d") for name in ("max", "avg"))
    pads = tuple(low for low, _ in case.padding)
    x, strides, padding = normal(case.x, f64), case.strides, case.padding
    for given in (x, np.maximum(x, 0)):  # zeros are ties, and torch takes the first
        check(
            lambda x: ops.max_pool(
                x, window, strides=strides, padding=padding, ceil_mode=ceil_mode
            ),
            lambda x: maximum(x, window, case.strides, pads, 1, ceil_mode),
            given,
        )
    for counted in (False, True):
        check(
            lambda x, counted=counted: ops.average_pool(
                x,
                window,
                strides=strides,
                padding=padding,
                ceil_mode=ceil_mode,
                count_include_pad=counted,
            ),
            lambda x, counted=counted: average(
                x, window, case.strides, pads, ceil_mode, counted
            ),
            x,
        )


def test_norms() -> None:
    x, scale, bias = normal((4, 6, 5), f64), normal((5,), f64, 1), normal((5,), f64, 2)
    check(
        lambda x, s, b: ops.layer_norm(x, s, b),
        lambda x, s, b: functional.layer_norm(x, (5,), s, b),
        *(x * 3 + 100, scale, bias),  # far from 0: what cancels would be seen
    )
    check(
        lambda x, s: ops.rms_norm(x, s, epsilon=1e-6),
        lambda x, s: functional.rms_norm(x, (5,), s, 1e-6),
        *(x, scale),
    )
    scale, bias, mean = (normal((6,), f64, seed) for seed in (1, 2, 3))
    check(
        lambda x, s, b: ops.group_norm(x, 3, s, b),
        lambda x, s, b: functional.group_norm(x, 3, s, b),
        *(x, scale, bias),
    )
    variance = np.abs(normal((6,), f64, 4)) + 0.5
    check(
        lambda x, s, b: ops.batch_norm(x, s, b, mean, variance),
        lambda x, s, b: functional.batch_norm(
            x, torch.from_numpy(mean), torch.from_numpy(variance), s, b
        ),
        *(x, scale, bias),
    )


@pytest.mark.parametrize("kind", ["plain", "causal", "masked"])
def test_attention(kind: str) -> None:
    q, k, v = (normal((2, 3, size, 8), f64, size) for size in (5, 7, 7))
    mask, causal = normal((3, 5, 7), f64, 1), kind == "causal"
    attend = functional.scaled_dot_product_attention
    if kind == "masked":
        check(ops.attention, lambda q, k, v, m: attend(q, k, v, m), q, k, v, mask)
        return
    check(
        lambda q, k, v: ops.attention(q, k, v, causal=causal),
        lambda q, k, v: attend(q, k, v, is_causal=causal),
        *(q, k, v),
    )


def test_reductions_with_zeros_and_ties() -> None:
    x = normal((3, 4, 5), f64)
    x[0, 0, 1] = x[1, 2, 3] = x[1, 2, 4] = 0
    check(lambda x: ops.prod(x, 2), lambda x: torch.prod(x, 2), x)
    check(lambda x: ops.cumprod(x, 2), lambda x: torch.cumprod(x, 2), x)
    check(lambda x: ops.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1), x)
    check(lambda x: ops.max(x, 1), lambda x: torch.amax(x, 1), np.round(x))
    check(lambda x: ops.var(x, 2, correction=1), lambda x: torch.var(x, 2), x)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_resizing(mode: str) -> None:
    ours = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}[mode]
    coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
    for size in ((10, 8), (7, 3)):
        shape = (2, 3, *size)
        check(
            lambda x, shape=shape: ops.resize(
                x, shape, mode=ours, coordinates=coordinates, rounding="floor"
            ),
            lambda x, size=size: functional.interpolate(x, size, mode=mode),
            normal((2, 3, 5, 4), f64),
        )


@pytest.mark.parametrize(
    ("mode", "name"), [("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular")]
)
def test_padding(mode: str, name: str) -> None:
    check(
        lambda x: ops.pad(x, [(0, 0), (0, 0), (2, 1), (3, 4)], mode),
        lambda x: functional.pad(x, (3, 4, 2, 1), name),
        normal((2, 3, 4, 5), f64),
    )
