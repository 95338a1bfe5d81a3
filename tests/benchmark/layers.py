"""Workloads of one operation or one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.types import Array

from .workload import Make, Workload, normal, scaled


def _formula(function: Callable[..., Any]) -> Make:
    """A module of a function of the two packages `torch` and its `functional`, and tensors."""

    def make() -> Any:
        import torch  # only those need it that make cases or run torch

        from .models import Formula

        return Formula(partial(function, torch))

    return make


def product(m: int, k: int, n: int) -> Workload:
    """A product of two inputs."""
    return Workload(
        f"gemm_{m}x{k}x{n}" if (m, k) != (n, n) else f"gemm_{n}",
        "gemm",
        lambda: (normal(m, k), normal(k, n, seed=1)),
        _formula(lambda torch, a, b: torch.matmul(a, b)),
        lambda: lambda a, b: a @ b,
    )


def linear(m: int, k: int, n: int) -> Workload:
    """A product with a constant weight, which may be packed ahead of time."""

    def weights() -> tuple[Array, Array]:
        return scaled(k, n, seed=1), normal(n, seed=2)

    def module() -> Any:
        from . import models

        return models.linear(*weights())

    def in_jax() -> Any:
        weight, bias = weights()
        return lambda x: x @ weight + bias

    return Workload(f"linear_{m}x{k}x{n}", "gemm", lambda: (normal(m, k),), module, in_jax)


@dataclass(frozen=True)
class Convolution:
    """Sizes of a convolution of a square image, padded by half a window."""

    inputs: int
    outputs: int
    window: int
    size: int
    stride: int = 1
    depthwise: bool = False

    @property
    def name(self) -> str:
        steps = f"s{self.stride}" if self.stride > 1 else ""
        sizes = f"{self.window}x{self.window}{steps}_{self.inputs}"
        if self.depthwise:
            return f"depthwise{sizes}_{self.size}"
        return f"conv{sizes}_{self.outputs}_{self.size}"

    def weights(self) -> tuple[Array, Array]:
        per_group = 1 if self.depthwise else self.inputs
        shape = (self.outputs, per_group, self.window, self.window)
        return scaled(*shape, seed=1), normal(self.outputs, seed=2)

    def of(self, x: Value, weight: Value, bias: Value | None = None) -> Value:
        """The convolution of images whose channels are last."""
        return ml.conv(
            x, weight, bias, strides=self.stride, padding=self.window // 2, groups=self._groups,
            layout="nhwc",
        )  # fmt: skip

    def channels_first(self) -> Workload:
        """As an ONNX file has it."""

        def module() -> Any:
            from . import models

            return models.conv(*self.weights(), self.stride)

        shape = (1, self.inputs, self.size, self.size)
        return Workload(self.name, "conv", lambda: (normal(*shape),), module)

    def channels_last(self) -> Workload:
        """As our own language and jax can say it."""

        def module() -> Any:
            from . import models

            return models.ChannelsLast(models.conv(*self.weights(), self.stride))

        shape = (1, self.size, self.size, self.inputs)
        return Workload(
            f"{self.name}_nhwc", "conv-nhwc", lambda: (normal(*shape),), module, self._in_jax,
            self._dsl,
        )  # fmt: skip

    def _in_jax(self) -> Any:
        import jax

        weight, bias = self.weights()
        taps = weight.transpose(2, 3, 1, 0)
        pad = self.window // 2
        return lambda x: jax.lax.conv_general_dilated(
            x, taps, (self.stride, self.stride), [(pad, pad)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=self._groups,
        ) + bias  # fmt: skip

    def _dsl(self) -> Function:
        weight, bias = self.weights()

        @ml.function(
            f32[1, self.size, self.size, self.inputs], f32[weight.shape], f32[bias.shape]
        )
        def convolution(x: Value, weight: Value, bias: Value) -> Value:
            return self.of(x, weight, bias)

        return convolution.bind({"weight": weight, "bias": bias})

    @property
    def _groups(self) -> int:
        return self.inputs if self.depthwise else 1


def small_layer(n: int) -> Workload:
    """A model so small that what is measured is the call."""
    layer = linear(n, n, n)

    def module() -> Any:
        import torch

        return torch.nn.Sequential(layer.module(), torch.nn.ReLU())

    def in_jax() -> Any:
        import jax

        assert layer.jax is not None
        function = layer.jax()
        return lambda x: jax.nn.relu(function(x))

    name = f"linear_relu_{n}"
    return replace(layer, name=name, group="call", module=module, jax=in_jax, is_plain=True)


def softmax(rows: int, columns: int) -> Workload:
    def in_jax() -> Any:
        import jax

        return partial(jax.nn.softmax, axis=1)

    return Workload(
        f"softmax_{rows}x{columns}",
        "memory",
        lambda: (normal(rows, columns),),
        _formula(lambda torch, x: torch.softmax(x, 1)),
        in_jax,
    )


def layer_norm(rows: int, columns: int) -> Workload:
    scale, shift = 1 + 0.1 * normal(columns, seed=1), 0.1 * normal(columns, seed=2)

    def module() -> Any:
        import torch

        from . import models

        return models.loaded(torch.nn.LayerNorm(columns), weight=scale, bias=shift)

    def in_jax() -> Any:
        import jax

        def norm(x: Any) -> Any:
            centred = x - x.mean(1, keepdims=True)
            variance = (centred**2).mean(1, keepdims=True)
            return centred * jax.lax.rsqrt(variance + 1e-5) * scale + shift

        return norm

    return Workload(
        f"layernorm_{rows}x{columns}", "memory", lambda: (normal(rows, columns),), module, in_jax
    )


def chain(n: int) -> Workload:
    """`gelu(x * a + b) + r`, with `a` and `b` a column each."""

    def in_jax() -> Any:
        import jax

        return lambda x, a, b, r: jax.nn.gelu(x * a + b, approximate=False) + r

    return Workload(
        f"elementwise_{n}",
        "memory",
        lambda: (normal(n, n), normal(n, seed=1), normal(n, seed=2), normal(n, n, seed=3)),
        _formula(lambda torch, x, a, b, r: torch.nn.functional.gelu(x * a + b) + r),
        in_jax,
    )


def total(n: int) -> Workload:
    return Workload(
        f"sum_{n}",
        "memory",
        lambda: (np.random.default_rng(0).random((n, n), np.float32),),
        _formula(lambda _, x: x.sum()),
        lambda: lambda x: x.sum(),
    )


def transpose(n: int) -> Workload:
    def in_jax() -> Any:
        import jax

        return lambda x: jax.lax.optimization_barrier(x.T)

    return Workload(
        f"transpose_{n}",
        "memory",
        lambda: (normal(n, n),),
        _formula(lambda _, x: x.t().contiguous()),
        in_jax,
    )


def attention(tokens: int) -> Workload:
    """Twelve heads of 64, batch 1."""
    shape = (1, 12, tokens, 64)

    def in_jax() -> Any:
        import jax

        return lambda q, k, v: jax.nn.softmax(q @ k.swapaxes(2, 3) * 0.125, -1) @ v

    return Workload(
        f"attention_s{tokens}",
        "attention",
        lambda: (normal(*shape), normal(*shape, seed=1), normal(*shape, seed=2)),
        _formula(
            lambda torch, q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v)
        ),
        in_jax,
    )
