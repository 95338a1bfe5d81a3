"""Functions of usual sizes, one a kernel template: what their machine code holds is kept as golden
figures, beside that of the odd small examples."""

from __future__ import annotations

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32

from .examples import EXAMPLES


@ml.function(f32[2048, 2048], f32[2048, 2048])
def product_f32(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(f32[2048, 2048], f32[2048, 2048], f32[2048])
def linear_f32(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@ml.function(bf16[4096, 4096], bf16[4096, 4096])
def product_bf16(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(f16[4096, 4096], f16[4096, 4096], f16[4096])
def linear_f16(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@ml.function(bf16[2000, 1000], bf16[1000, 3000])
def product_bf16_odd(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(f32[16, 64, 56, 56], f32[64, 64, 3, 3])
def conv_f32(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@ml.function(bf16[32, 64, 56, 56], bf16[64, 64, 3, 3])
def conv_bf16(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@ml.function(bf16[128, 28, 28, 256], bf16[256, 256, 3, 3], bf16[256], bf16[128, 14, 14, 256])
def conv_strided(x: Value, w: Value, b: Value, more: Value) -> Value:
    return ml.relu(ml.conv(x, w, b, strides=2, padding=1, layout="nhwc") + more)


# Constants, of which Winograd's rounding errors are known.
FILTERS = np.random.default_rng(0).standard_normal((256, 256, 3, 3)).astype(np.float32) / 48


@ml.function(f32[32, 256, 14, 14])
def conv_winograd(x: Value) -> Value:
    return ml.conv2d(x, FILTERS, padding=1)


@ml.function(f32[16, 56, 56, 128], f32[128, 1, 3, 3])
def depthwise(x: Value, w: Value) -> Value:
    return ml.conv(x, w, padding=1, groups=128, layout="nhwc")


@ml.function(f32[4096, 4096])
def softmax_wide(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[8192, 1024], f32[1024], f32[1024])
def layer_norm_wide(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(bf16[512, 131072])
def softmax_long(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[512, 131072], f32[131072], f32[131072])
def layer_norm_long(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(f32[4, 131072])
def softmax_few(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[32, 64, 56, 56])
def variances(x: Value) -> Value:
    return ml.var(x, axis=(0, 2, 3))


@ml.function(f32[4096, 4096], f32[4096, 4096])
def added(x: Value, y: Value) -> Value:
    return ml.relu(x + y)


@ml.function(f32[4096, 4096])
def transposed(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@ml.function(bf16[4096, 4096])
def transposed_bf16(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@ml.function(f32[16777216])
def summed(x: Value) -> Value:
    return ml.sum(x)


@ml.function(bf16[4, 16, 2048, 64], bf16[4, 16, 2048, 64], bf16[4, 16, 2048, 64])
def attention_bf16(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


@ml.function(f32[4, 16, 2048, 64], f32[4, 16, 2048, 64], f32[4, 16, 2048, 64])
def attention_f32(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


@ml.function(f16[4, 32, 2048, 128], f16[4, 8, 2048, 128], f16[4, 8, 2048, 128])
def attention_f16(q: Value, k: Value, v: Value) -> Value:
    q = ml.reshape(q, (4, 8, 4, 2048, 128))
    return ml.attention(q, ml.expand_dims(k, 2), ml.expand_dims(v, 2), causal=True)


@ml.function(bf16[4, 8, 4, 1, 128], bf16[4, 8, 1, 4096, 128], bf16[4, 8, 1, 4096, 128])
def attention_decode(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


def attention(q: Value, k: Value, v: Value) -> Value:
    return ml.sum(ml.cast(ml.attention(q, k, v, causal=True), f32))


attention_gradient = ml.grad(
    ml.function(bf16[4, 16, 2048, 64], bf16[4, 16, 2048, 64], bf16[4, 16, 2048, 64])(attention),
    wrt=("q", "k", "v"),
)


def attended_f32(q: Value, k: Value, v: Value) -> Value:
    return attention(q, k, v)


attended_f32_gradient = ml.grad(
    ml.function(f32[4, 16, 2048, 64], f32[4, 16, 2048, 64], f32[4, 16, 2048, 64])(attended_f32),
    wrt=("q", "k", "v"),
)


@ml.function(f32[4096, 4096], f32[4096, 4096])
def product_tf32(x: Value, w: Value) -> Value:
    return x @ w


WEIGHTS = np.random.default_rng(0).standard_normal((2, 2048, 2048)).astype(np.float32)


@ml.function(f32[4096, 2048])
def layers_tf32(x: Value) -> Value:
    return ml.matmul(ml.relu(ml.matmul(x, WEIGHTS[0])), WEIGHTS[1])


@ml.function(f32[32, 64, 56, 56], f32[64, 64, 3, 3])
def conv_tf32(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@ml.function(f32[2048, 2048], f32[2048, 2048], f32[2048])
def linear_tf32(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@ml.function(f32[2048, 2048], f32[2048, 2048])
def product_rounded(x: Value, w: Value) -> Value:
    return x @ w


# Matrices far from singular, and results that have no sign of their own.
@ml.function(f32[256, 64, 64])
def cholesky(x: Value) -> Value:
    return ml.linalg.cholesky(x * 0.01 + ml.eye(64))


@ml.function(f32[256, 64, 64])
def inverse(x: Value) -> Value:
    return ml.linalg.inverse(x + 16.0 * ml.eye(64))


@ml.function(f32[256, 128, 64])
def orthogonal(x: Value) -> tuple[Value, ...]:
    return ml.linalg.qr(x)


@ml.function(f32[256, 64, 64])
def eigenvalues(x: Value) -> Value:
    return ml.linalg.eigh(x)[0]


@ml.function(f32[256, 64, 64])
def singular_values(x: Value) -> Value:
    return ml.linalg.svd(x, full_matrices=False)[1]


# What factors are rounded to, where that is not "f32".
FACTORS = {
    **dict.fromkeys(("product_tf32", "layers_tf32", "conv_tf32", "linear_tf32"), "tf32"),
    "product_rounded": "bf16",
}

TEMPLATES: tuple[Function, ...] = (
    *EXAMPLES,
    product_f32, linear_f32, product_bf16, linear_f16, product_bf16_odd, conv_f32, conv_bf16,
    conv_strided, conv_winograd, depthwise,
    softmax_wide, softmax_long, softmax_few, layer_norm_wide, layer_norm_long, variances,
    added, transposed, transposed_bf16, summed,
    product_tf32, layers_tf32, conv_tf32, linear_tf32, product_rounded,
    attention_bf16, attention_f32, attention_f16, attention_decode, attention_gradient,
    attended_f32_gradient,
    cholesky, inverse, orthogonal, eigenvalues, singular_values,
)  # fmt: skip
