"""How a training step is cut into forward and backward: as torch does, but for attention.

    q, k, v                        =>  out, logsumexp            forward
    gradient, q, k, v, out, logsumexp  =>  dq, dk, dv            backward

Torch keeps the logarithms of the sums of each row's weights; here the gradient computes them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._functorch.partitioners import default_partition

_FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default


# Tensors of torch have no static types here.
def attention_gradient(
    arrived: Any, queries: Any, keys: Any, values: Any, y: Any, *rest: Any, **options: Any
) -> Any:
    """The gradients of queries, keys and values without what torch would keep: what its operators
    give where torch runs a graph itself, and what `readers.gradients` has a reader for."""
    _, sums = _FORWARD(queries, keys, values, *rest, **options)
    return _BACKWARD(arrived, queries, keys, values, y, sums, *rest, **options)


def partitioned(
    joint: fx.GraphModule, inputs: Any, **options: Any
) -> tuple[fx.GraphModule, fx.GraphModule]:
    """The forward graph and the backward one of a graph of both."""
    for node in joint.graph.find_nodes(op="call_function", target=_BACKWARD):
        node.target = attention_gradient
        node.args = (*node.args[:5], *node.args[6:])
    joint.recompile()
    parts: tuple[fx.GraphModule, fx.GraphModule] = default_partition(joint, inputs, **options)
    return parts
