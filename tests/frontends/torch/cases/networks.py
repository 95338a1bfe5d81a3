"""Activations, attention, whole layers and losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from frontends.torch.cases.tensors import SPECIAL, Calls, Tensor, b, i, p, r, v

A = torch.ops.aten


def _recurrent(layer: Callable[..., Any], states: int) -> Callable[..., Any]:
    """Both directions of one layer, batch first."""

    def call(x: Tensor, *given: Tensor) -> Any:
        start = list(given[:states]) if states > 1 else given[0]
        return layer(x, start, list(given[states:]), True, 1, 0.0, False, True, True)

    return call


def _weights(size: int, hidden: int, gates: int) -> list[Tensor]:
    """Of both directions: weights of the input and of the state, and their biases."""
    rows = gates * hidden
    return [r(*shape) for shape in [(rows, size), (rows, hidden), (rows,), (rows,)] * 2]


def _encoder_layer(norm_first: bool, gelu: bool) -> Callable[..., Any]:
    """A layer of a transformer with two heads, as torch has it for inference."""

    def call(x: Tensor, *weights: Tensor) -> Any:
        attention, rest = weights[:4], weights[4:]
        options = (gelu, norm_first, 1e-5)
        run = A._transformer_encoder_layer_fwd
        return run(x, x.shape[-1], 2, *attention, *options, *rest)

    return call


def _encoder_weights(width: int, wide: int) -> list[Tensor]:
    """Of attention, of both norms, and of the layers after it, each with its bias."""
    shapes = [(3 * width, width), (3 * width,), (width, width), (width,), *[(width,)] * 4]
    return [r(*shape) for shape in [*shapes, (wide, width), (wide,), (width, wide), (width,)]]


CALLS: Calls = {
    "activations": [
        (F.relu6, (r(6) * 5,)),
        (F.hardtanh, (r(6) * 2,)),
        (lambda x: F.leaky_relu(x, 0.2), (r(6),)),
        (F.elu, (r(6),)),
        (lambda x: F.elu(x, 0.5), (r(6),)),
        (F.selu, (r(6),)),
        (F.celu, (r(6),)),
        (lambda x: F.celu(x, 0.5), (r(6),)),
        (F.gelu, (r(6),)),
        (lambda x: F.gelu(x, approximate="tanh"), (r(6),)),
        (F.silu, (r(6),)),
        (F.mish, (r(6),)),
        (F.hardswish, (r(6) * 4,)),
        (F.hardsigmoid, (r(6) * 4,)),
        (F.softplus, (r(6) * 9,)),
        (lambda x: F.softplus(x, 2, 5), (r(6) * 9,)),
        (F.logsigmoid, (r(6),)),
        (F.hardshrink, (r(6),)),
        (F.softshrink, (r(6),)),
        (F.softshrink, (SPECIAL,)),
        (F.tanhshrink, (r(6),)),
        (F.softsign, (r(6),)),
        (lambda x: F.threshold(x, 0.1, 20), (r(6),)),
        (F.glu, (r(3, 6),)),
        (F.prelu, (r(2, 3, 4), r(3))),
        (F.prelu, (r(2, 3, 4), r(1))),
        (lambda x: F.rrelu(x), (r(6),)),
    ],
    "attention": [
        (F.scaled_dot_product_attention, (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 6))),
        (
            lambda q, k, w: F.scaled_dot_product_attention(q, k, w, is_causal=True, scale=0.3),
            (r(2, 3, 4, 8), r(2, 3, 4, 8), r(2, 3, 4, 8)),
        ),
        (
            F.scaled_dot_product_attention,
            (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 8), v(*[[True] * 5, [False] * 5] * 2)),
        ),
        (
            F.scaled_dot_product_attention,
            (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 8), r(2, 1, 4, 5)),
        ),
        (
            lambda q, k, w, m: F.scaled_dot_product_attention(q, k, w, m, enable_gqa=True),
            (r(2, 6, 4, 8), r(2, 2, 5, 8), r(2, 2, 5, 8), b(2, 6, 4, 5)),
        ),
        (
            lambda q, k, w: A._scaled_dot_product_flash_attention_for_cpu(q, k, w)[0],
            (r(2, 3, 4, 8), r(2, 3, 5, 8), r(2, 3, 5, 8)),
        ),
    ],
    "encoder layers": [
        (_encoder_layer(norm_first, gelu), (r(2, 5, 8), *_encoder_weights(8, 12)))
        for norm_first in (True, False)
        for gelu in (True, False)
    ],
    "recurrent layers": [
        (_recurrent(torch.lstm, 2), (r(2, 5, 3), r(2, 2, 4), r(2, 2, 4), *_weights(3, 4, 4))),
        (_recurrent(torch.gru, 1), (r(2, 5, 3), r(2, 2, 4), *_weights(3, 4, 3))),
        (_recurrent(torch.rnn_tanh, 1), (r(2, 5, 3), r(2, 2, 4), *_weights(3, 4, 1))),
        (_recurrent(torch.rnn_relu, 1), (r(2, 5, 3), r(2, 2, 4), *_weights(3, 4, 1))),
    ],
    "losses": [
        (F.mse_loss, (r(3), r(3))),
        (F.l1_loss, (r(3), r(3))),
        (F.smooth_l1_loss, (r(3), r(3))),
        (F.huber_loss, (r(3), r(3))),
        (F.cross_entropy, (r(3, 5), i(5, 3))),
        (F.nll_loss, (r(3, 5), i(5, 3))),
        (F.binary_cross_entropy_with_logits, (r(3), p(3))),
        (lambda x, y: F.kl_div(x, y, reduction="sum"), (r(3), p(3))),
        (lambda x, y: F.cosine_similarity(x, y), (r(2, 3), r(2, 3))),
    ],
}
