"""Attention: decoding step by step, and dropout of weights."""

from __future__ import annotations

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32, i64, nn
from mlir_lite.types import Array


class Decoder(nn.Module):
    attention: nn.MultiheadAttention

    def forward(
        self, x: Value, keys: Value, values: Value, position: Value
    ) -> tuple[Value, Value, Value]:
        return self.attention.decode(x, keys, values, position)


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_decoding_gives_what_all_places_at_once_give() -> None:
    """Three places, then one, then two, with a cache of eight."""
    layer = nn.MultiheadAttention(12, 6, causal=True, num_kv_heads=2)
    weights = layer.init(seed=1)
    x = random(2, 6, 12)
    whole = ml.evaluate(ml.function(layer, f32[2, 6, 12]).bind(weights), x)
    cache = layer.cache(2, 8)
    keys, values = (np.full(cache.static_shape, 7, np.float32) for _ in range(2))
    parts = []
    for start, end in ((0, 3), (3, 4), (4, 6)):
        fn = ml.function(Decoder(layer), f32[2, end - start, 12], cache, cache, i64[()])
        step = fn.bind({f"attention.{name}": array for name, array in weights.items()})
        y, keys, values = ml.compile(step)(x[:, start:end].copy(), keys, values, np.array(start))
        parts.append(y)
    # The same products in another order, in f32.
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-4, atol=1e-6)
    assert (keys[:, :, 6:] == 7).all()


def test_dropout_keeps_the_mean_of_attention() -> None:
    layer = nn.MultiheadAttention(4, 1, dropout=0.5)
    fn = ml.function(layer, f32[1, 64, 4], training=True).bind(layer.init(seed=0))
    x = random(1, 64, 4)
    run = ml.compile(fn)
    drawn = [run(np.array(seed), x) for seed in range(200)]
    plain = ml.evaluate(ml.function(layer, f32[1, 64, 4]).bind(layer.init(seed=0)), x)
    assert not np.array_equal(drawn[0], drawn[1])
    # The mean of 200 draws, each with a deviation of some sqrt(1/64) of the values.
    np.testing.assert_allclose(np.mean(drawn, 0), plain, atol=0.05)
