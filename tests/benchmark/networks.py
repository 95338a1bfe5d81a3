"""The models that training steps are measured on, as our modules and as functions of jax arrays;
`models` has them for torch. Weights have the same names everywhere."""

from __future__ import annotations

from typing import Any

import mlir_lite as ml
from mlir_lite import Value, nn

WIDTH, HEADS, HIDDEN = 256, 8, 1024  # of a transformer's block


def perceptron() -> nn.Module:
    """784-512-512-10 with ReLU."""
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


def lenet() -> nn.Module:
    """LeNet-5 (LeCun et al., 1998) with ReLU and the largest of each window."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Block(nn.Module):
    """A transformer's block with norms before attention and layers."""

    before: nn.Module = nn.LayerNorm(WIDTH)
    attention: nn.Module = nn.MultiheadAttention(WIDTH, HEADS)
    between: nn.Module = nn.LayerNorm(WIDTH)
    wide: nn.Module = nn.Linear(WIDTH, HIDDEN)
    narrow: nn.Module = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Value) -> Value:
        x = x + self.attention(self.before(x))
        return x + self.narrow(ml.gelu(self.wide(self.between(x))))


def block() -> nn.Module:
    return Block()


def jax_perceptron(w: Any, x: Any) -> Any:
    for layer in (0, 2):
        x = _relu(_linear(w, x, f"{layer}"))
    return _linear(w, x, "4")


def jax_lenet(w: Any, x: Any) -> Any:
    x = _pooled(_relu(_conv(w, x, "0", 2)))
    x = _pooled(_relu(_conv(w, x, "3", 0)))
    x = x.reshape(len(x), -1)
    for layer in (7, 9):
        x = _relu(_linear(w, x, f"{layer}"))
    return _linear(w, x, "11")


def jax_block(w: Any, x: Any) -> Any:
    import jax

    y = _norm(w, x, "before")
    y = y @ w["attention.in_proj_weight"].T + w["attention.in_proj_bias"]
    heads = y.reshape(*x.shape[:2], 3, HEADS, WIDTH // HEADS)
    q, k, v = heads.transpose(2, 0, 3, 1, 4)
    mixed = jax.nn.softmax(q @ k.swapaxes(2, 3) * (WIDTH // HEADS) ** -0.5) @ v
    x = x + _linear(w, mixed.transpose(0, 2, 1, 3).reshape(x.shape), "attention.out_proj")
    wide = jax.nn.gelu(_linear(w, _norm(w, x, "between"), "wide"), approximate=False)
    return x + _linear(w, wide, "narrow")


def _relu(x: Any) -> Any:
    import jax

    return jax.nn.relu(x)


def _linear(w: Any, x: Any, name: str) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _conv(w: Any, x: Any, name: str, pad: int) -> Any:
    import jax

    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    y = jax.lax.conv_general_dilated(x, weight, (1, 1), [(pad, pad)] * 2)
    return y + bias[:, None, None]


def _pooled(x: Any) -> Any:
    import jax

    two = (1, 1, 2, 2)
    return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, two, two, "VALID")


def _norm(w: Any, x: Any, name: str) -> Any:
    import jax

    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
