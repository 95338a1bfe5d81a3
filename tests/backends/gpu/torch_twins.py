"""What a template is timed beside: the same computation by torch, so by cuBLAS and cuDNN."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mlir_lite import Function
from mlir_lite.types import Array

# Torch is unknown to the checker: its module and its tensors are of any type.
Torch = Any
Tensor = Any

_TIMES_CACHE = 3


def _functional(torch: Torch) -> Any:
    return torch.nn.functional


_CALLS: Mapping[str, tuple[str, Callable[..., Tensor]]] = {
    "product_f32": ("cuBLAS", lambda torch, x, w: x @ w),
    "product_bf16": ("cuBLAS", lambda torch, x, w: x @ w),
    "product_bf16_odd": ("cuBLAS", lambda torch, x, w: x @ w),
    "linear_f32": ("cuBLAS", lambda torch, x, w, b: torch.relu(_functional(torch).linear(x, w, b))),
    "linear_f16": ("cuBLAS", lambda torch, x, w, b: torch.relu(_functional(torch).linear(x, w, b))),
    "conv_f32": ("cuDNN", lambda torch, x, w: _functional(torch).conv2d(x, w, padding=1)),
    "conv_bf16": ("cuDNN", lambda torch, x, w: _functional(torch).conv2d(x, w, padding=1)),
    "softmax_wide": ("torch", lambda torch, x: torch.softmax(x, -1)),
    "layer_norm_wide": (
        "torch",
        lambda torch, x, s, b: _functional(torch).layer_norm(x, (x.shape[-1],), s, b),
    ),
    "added": ("torch", lambda torch, x, y: torch.relu(x + y)),
    "transposed": ("torch", lambda torch, x: x.T.contiguous()),
    "summed": ("torch", lambda torch, x: x.sum()),
    "attention_bf16": (
        "torch", lambda torch, q, k, v: _functional(torch).scaled_dot_product_attention(q, k, v)
    ),
    "attention_f16": (
        "torch",
        lambda torch, q, k, v: _functional(torch).scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=True
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Twin:
    """A computation by torch, with the library that does it."""

    name: str
    torch: Torch
    call: Callable[..., Tensor]

    def seconds(self, arrays: Sequence[Array], cache: int, repeat: int) -> float:
        """Seconds of a call by the card's clock, on tensors that take turns, as a CUDA graph."""
        torch = self.torch
        size = sum(array.nbytes for array in arrays)
        count = min(24, max(1, -(-_TIMES_CACHE * cache // max(1, size))))
        sets = [[self._tensor(array) for array in arrays] for _ in range(count)]
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for tensors in sets:
                self.call(torch, *tensors)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = [self.call(torch, *tensors) for tensors in sets]
        graph.replay()
        samples: list[float] = []
        for _ in range(repeat):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            samples.append(start.elapsed_time(end) / 1e3 / count)
        del kept
        return statistics.median(samples)

    def _tensor(self, array: Array) -> Tensor:
        if array.dtype.name == "bfloat16":
            wide = self.torch.from_numpy(array.astype("float32"))
            return wide.to("cuda").to(self.torch.bfloat16)
        return self.torch.from_numpy(array).to("cuda")


def twin_of(fn: Function) -> Twin | None:
    """What a function is timed beside; None where there is no torch that knows the card."""
    torch = _torch()
    if torch is None or fn.name not in _CALLS:
        return None
    name, call = _CALLS[fn.name]
    return Twin(name, torch, call)


@cache
def _torch() -> Torch | None:
    """Torch with a card, its products in full f32."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch
