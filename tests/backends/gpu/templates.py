"""Functions of usual sizes, one a kernel template: what their machine code holds is kept as golden
figures, beside that of the odd small examples. Each is there in odd small sizes, too, that run on
the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32
from mlir_lite.types import TensorType

from .examples import EXAMPLES

Body: TypeAlias = Callable[..., Value | tuple[Value, ...]]


@dataclass(frozen=True)
class Template:
    """One function in two sizes; the small one is for a card of fewer multiprocessors, where that
    gets it the kernels of the usual one."""

    usual: Function
    small: Function
    multiprocessors: int = 132

    @property
    def name(self) -> str:
        return self.usual.name

    @staticmethod
    def of(
        usual: Sequence[TensorType], small: Sequence[TensorType], *, multiprocessors: int = 1
    ) -> Callable[[Body], Template]:
        """Of a function's parameters in both sizes."""
        return lambda body: Template(
            ml.function(*usual)(body), ml.function(*small)(body), multiprocessors
        )

    def gradient(self, *wrt: str) -> Template:
        usual, small = (ml.grad(fn, wrt=wrt) for fn in (self.usual, self.small))
        return Template(usual, small, self.multiprocessors)


@Template.of((f32[2048, 2048], f32[2048, 2048]), (f32[250, 20], f32[20, 252]))
def product_f32(x: Value, w: Value) -> Value:
    return x @ w


@Template.of(
    (f32[2048, 2048], f32[2048, 2048], f32[2048]),
    (f32[250, 20], f32[252, 20], f32[252]),
)
def linear_f32(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@Template.of((bf16[4096, 4096], bf16[4096, 4096]), (bf16[150, 200], bf16[200, 264]))
def product_bf16(x: Value, w: Value) -> Value:
    return x @ w


@Template.of(
    (f16[4096, 4096], f16[4096, 4096], f16[4096]),
    (f16[150, 200], f16[264, 200], f16[264]),
)
def linear_f16(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@Template.of((bf16[2000, 1000], bf16[1000, 3000]), (bf16[150, 296], bf16[296, 264]))
def product_bf16_odd(x: Value, w: Value) -> Value:
    return x @ w


@Template.of((f32[16, 64, 56, 56], f32[64, 64, 3, 3]), (f32[1, 64, 9, 11], f32[64, 64, 3, 3]))
def conv_f32(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@Template.of((bf16[32, 64, 56, 56], bf16[64, 64, 3, 3]), (bf16[1, 64, 9, 11], bf16[64, 64, 3, 3]))
def conv_bf16(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@Template.of(
    (bf16[128, 28, 28, 256], bf16[256, 256, 3, 3], bf16[256], bf16[128, 14, 14, 256]),
    (bf16[3, 13, 11, 64], bf16[264, 64, 3, 3], bf16[264], bf16[3, 7, 6, 264]),
)
def conv_strided(x: Value, w: Value, b: Value, more: Value) -> Value:
    return ml.relu(ml.conv(x, w, b, strides=2, padding=1, layout="nhwc") + more)


# Constants, of which Winograd's rounding errors are known.
FILTERS = np.random.default_rng(0).standard_normal((256, 256, 3, 3)).astype(np.float32) / 48


@Template.of((f32[32, 256, 14, 14],), (f32[1, 256, 6, 7],))
def conv_winograd(x: Value) -> Value:
    return ml.conv2d(x, FILTERS, padding=1)


@Template.of((f32[16, 56, 56, 128], f32[128, 1, 3, 3]), (f32[1, 9, 11, 128], f32[128, 1, 3, 3]))
def depthwise(x: Value, w: Value) -> Value:
    return ml.conv(x, w, padding=1, groups=128, layout="nhwc")


@Template.of((f32[4096, 4096],), (f32[5, 4096],))
def softmax_wide(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@Template.of((f32[8192, 1024], f32[1024], f32[1024]), (f32[17, 1024], f32[1024], f32[1024]))
def layer_norm_wide(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@Template.of((bf16[512, 131072],), (bf16[3, 131072],))
def softmax_long(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@Template.of(
    (f32[512, 131072], f32[131072], f32[131072]),
    (f32[3, 131072], f32[131072], f32[131072]),
)
def layer_norm_long(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@Template.of((f32[4, 131072],), (f32[2, 131072],), multiprocessors=132)
def softmax_few(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@Template.of((f32[32, 64, 56, 56],), (f32[32, 2, 56, 56],), multiprocessors=132)
def variances(x: Value) -> Value:
    return ml.var(x, axis=(0, 2, 3))


@Template.of((f32[4096, 4096], f32[4096, 4096]), (f32[37, 4096], f32[37, 4096]))
def added(x: Value, y: Value) -> Value:
    return ml.relu(x + y)


@Template.of((f32[4096, 4096],), (f32[70, 96],))
def transposed(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@Template.of((bf16[4096, 4096],), (bf16[70, 96],))
def transposed_bf16(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@Template.of((f32[16777216],), (f32[300000],), multiprocessors=132)
def summed(x: Value) -> Value:
    return ml.sum(x)


@Template.of([bf16[4, 16, 2048, 64]] * 3, [bf16[1, 2, 150, 64]] * 3)
def attention_bf16(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


@Template.of([f32[4, 16, 2048, 64]] * 3, [f32[1, 2, 150, 64]] * 3)
def attention_f32(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


@Template.of(
    (f16[4, 32, 2048, 128], *[f16[4, 8, 2048, 128]] * 2),
    (f16[1, 4, 150, 128], *[f16[1, 2, 150, 128]] * 2),
)
def attention_f16(q: Value, k: Value, v: Value) -> Value:
    batch, heads, rows, depth = k.type.static_shape
    q = ml.reshape(q, (batch, heads, q.type.static_shape[1] // heads, rows, depth))
    return ml.attention(q, ml.expand_dims(k, 2), ml.expand_dims(v, 2), causal=True)


@Template.of(
    (bf16[4, 8, 4, 1, 128], *[bf16[4, 8, 1, 4096, 128]] * 2),
    (bf16[1, 2, 4, 1, 128], *[bf16[1, 2, 1, 300, 128]] * 2),
    multiprocessors=132,
)
def attention_decode(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


@Template.of([bf16[4, 16, 2048, 64]] * 3, [bf16[1, 2, 150, 64]] * 3)
def attention(q: Value, k: Value, v: Value) -> Value:
    return ml.sum(ml.cast(ml.attention(q, k, v, causal=True), f32))


@Template.of([f32[4, 16, 2048, 64]] * 3, [f32[1, 2, 150, 64]] * 3)
def attended_f32(q: Value, k: Value, v: Value) -> Value:
    return ml.sum(ml.attention(q, k, v, causal=True))


@Template.of((f32[4096, 4096], f32[4096, 4096]), (f32[1000, 16], f32[16, 1000]))
def product_tf32(x: Value, w: Value) -> Value:
    return x @ w


WEIGHTS = np.random.default_rng(0).standard_normal((2, 2048, 2048)).astype(np.float32)


@Template.of((f32[4096, 2048],), (f32[70, 256],))
def layers_tf32(x: Value) -> Value:
    width = x.type.static_shape[-1]
    first, second = WEIGHTS[:, :width, :width]
    return ml.matmul(ml.relu(ml.matmul(x, first)), second)


@Template.of((f32[32, 64, 56, 56], f32[64, 64, 3, 3]), (f32[1, 64, 9, 11], f32[64, 64, 3, 3]))
def conv_tf32(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@Template.of(
    (f32[2048, 2048], f32[2048, 2048], f32[2048]),
    (f32[70, 256], f32[256, 256], f32[256]),
)
def linear_tf32(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@Template.of((f32[2048, 2048], f32[2048, 2048]), (f32[150, 256], f32[256, 264]))
def product_rounded(x: Value, w: Value) -> Value:
    return x @ w


# Matrices far from singular, and results that have no sign of their own.
@Template.of((f32[256, 64, 64],), (f32[2, 64, 64],))
def cholesky(x: Value) -> Value:
    return ml.linalg.cholesky(x * 0.01 + ml.eye(64))


@Template.of((f32[256, 64, 64],), (f32[2, 64, 64],))
def inverse(x: Value) -> Value:
    return ml.linalg.inverse(x + 16.0 * ml.eye(64))


@Template.of((f32[256, 128, 64],), (f32[2, 128, 64],))
def orthogonal(x: Value) -> tuple[Value, ...]:
    return ml.linalg.qr(x)


@Template.of((f32[256, 64, 64],), (f32[2, 64, 64],))
def eigenvalues(x: Value) -> Value:
    return ml.linalg.eigh(x)[0]


@Template.of((f32[256, 64, 64],), (f32[2, 64, 64],))
def singular_values(x: Value) -> Value:
    return ml.linalg.svd(x, full_matrices=False)[1]


# What factors are rounded to, where that is not "f32".
FACTORS = {
    **dict.fromkeys(("product_tf32", "layers_tf32", "conv_tf32", "linear_tf32"), "tf32"),
    "product_rounded": "bf16",
}

TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        *(Template(fn, fn) for fn in EXAMPLES),
        product_f32, linear_f32, product_bf16, linear_f16, product_bf16_odd, conv_f32, conv_bf16,
        conv_strided, conv_winograd, depthwise,
        softmax_wide, softmax_long, softmax_few, layer_norm_wide, layer_norm_long, variances,
        added, transposed, transposed_bf16, summed,
        product_tf32, layers_tf32, conv_tf32, linear_tf32, product_rounded,
        attention_bf16, attention_f32, attention_f16, attention_decode,
        attention.gradient("q", "k", "v"), attended_f32.gradient("q", "k", "v"),
        cholesky, inverse, orthogonal, eigenvalues, singular_values,
    )
}  # fmt: skip
USUAL = tuple(template.usual for template in TEMPLATES.values())
