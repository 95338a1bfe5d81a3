"""Random numbers: the published vectors, the same on every backend, and distributed as they say."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32, i64, random
from mlir_lite.errors import TypeRuleError
from mlir_lite.expr.philox import philox_block
from mlir_lite.types import Array, DType, bf16, f16, f64

from .traced import run, type_of

# "philox4x32 10" of kat_vectors, Random123 1.14: counter, key, result.
_KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def _words(text: str) -> list[Array]:
    return [np.asarray(int(word, 16), np.uint64) for word in text.split()]


@pytest.mark.parametrize("counter, key, expected", _KNOWN)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    words = philox_block(_words(counter), _words(key))
    assert " ".join(f"{int(word):08x}" for word in words) == expected


@ml.function(i64[()], i64[()])
def _twelve_words(seed: Value, stream: Value) -> Value:
    return random.bits(seed, (12,), stream=stream)


def test_compiled_bits_are_those_blocks() -> None:
    """The key is the seed, the counter's halves are the number of the block and the stream."""
    seed, stream = np.array(-2), np.array(0x0123456789ABCDEF)
    found = ml.compile(_twelve_words, threads=1)(seed, stream)
    key, high = _words("fffffffe ffffffff"), _words("89abcdef 01234567")
    blocks = (philox_block((*_words(f"{block:x} 0"), *high), key) for block in range(3))
    expected = [int(word) for words in blocks for word in words]
    assert isinstance(found, np.ndarray)
    assert [int(word) & 0xFFFFFFFF for word in found] == expected


def _drawn(dtype: DType = f32, seed: int = 1) -> Array:
    return run(lambda s: random.uniform(s, (100_000,), dtype=dtype), np.array(seed))


@pytest.mark.parametrize("dtype", [f32, f64, f16, bf16], ids=str)
def test_uniform_numbers_are_uniform(dtype: DType) -> None:
    drawn = _drawn(dtype).astype(np.float64)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, 16, (0, 1))[0]
    # The statistic of 15 degrees of freedom is above 45 once in 10 000 seeds.
    assert np.sum((counts - 6250) ** 2) / 6250 < 45


def test_uniform_numbers_between_limits() -> None:
    drawn = run(lambda s: random.uniform(s, (10_000,), -2.0, 6.0), np.array(0))
    assert drawn.min() >= -2
    assert drawn.max() < 6
    np.testing.assert_allclose(drawn.mean(), 2, atol=0.1)


@pytest.mark.parametrize("dtype", [f32, f64, f16], ids=str)
def test_normal_numbers_are_normal(dtype: DType) -> None:
    shape = (100_000,)
    drawn = run(lambda s: random.normal(s, shape, 3.0, 2.0, dtype=dtype), np.array(2))
    z = (drawn.astype(np.float64) - 3) / 2
    # Five standard errors of the first four moments of 100 000 numbers.
    for power, moment, error in ((1, 0, 0.016), (2, 1, 0.023), (3, 0, 0.062), (4, 3, 0.155)):
        np.testing.assert_allclose(np.mean(z**power), moment, atol=error)


def test_seeds_and_streams_are_apart() -> None:
    one = run(lambda s: random.bits(s, (64,)), np.array(1))
    two = run(lambda s: random.bits(s, (64,)), np.array(2))
    other = run(lambda s: random.bits(s, (64,), stream=1), np.array(1))
    again = run(lambda s: random.bits(s, (64,)), np.array(1))
    folded = run(lambda s: random.bits(random.fold_in(s, 0), (64,)), np.array(1))
    np.testing.assert_array_equal(one, again)
    for first, second in ((one, two), (one, other), (two, other), (one, folded)):
        assert np.mean(first == second) < 0.05


def test_a_longer_run_begins_alike() -> None:
    short = run(lambda s: random.uniform(s, (5,)), np.array(9))
    long = run(lambda s: random.uniform(s, (4, 5)), np.array(9))
    np.testing.assert_array_equal(short, long[0])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate: float) -> None:
    x = np.ones((300, 300), np.float32)
    y = run(lambda x, s: ml.dropout(x, rate, s), x, np.array(4))
    assert set(np.unique(y)) == {0, np.float32(1 / (1 - rate))}
    np.testing.assert_allclose(np.mean(y == 0), rate, atol=0.01)  # six standard errors


def test_dropout_at_the_limits() -> None:
    x = np.ones((5,), np.float32)
    np.testing.assert_array_equal(run(lambda x, s: ml.dropout(x, 0.0, s), x, np.array(4)), x)
    np.testing.assert_array_equal(run(lambda x, s: ml.dropout(x, 1.0, s), x, np.array(4)), 0 * x)


@ml.function(f32[4099], i64[()])
def _dropped(x: Value, seed: Value) -> Value:
    return ml.dropout(x, 0.3, seed)


def test_the_same_numbers_on_any_thread_count() -> None:
    x, seed = np.ones(4099, np.float32), np.array(5)
    expected = ml.evaluate(_dropped, x, seed)
    for threads in (1, 2):
        np.testing.assert_array_equal(ml.compile(_dropped, threads=threads)(x, seed), expected)


def test_the_gradient_of_dropout_goes_where_values_went() -> None:
    def total(x: Value, seed: Value) -> Value:
        return ml.dropout(x, 0.3, seed).sum()

    x, seed = np.ones(4099, np.float32), np.array(5)
    gradient = ml.grad(ml.function(f32[4099], i64[()])(total))
    np.testing.assert_array_equal(ml.evaluate(gradient, x, seed), ml.evaluate(_dropped, x, seed))


def test_a_seed_is_one_number() -> None:
    with pytest.raises(TypeRuleError, match="single i64"):
        type_of(lambda s: random.bits(s, (3,)), i64[2])


def test_classes_are_drawn_as_their_softmax_says() -> None:
    shares = np.array([[0.1, 0.2, 0.7], [0.5, 0.0, 0.5]])
    with np.errstate(divide="ignore"):
        logits = np.log(shares).astype(np.float32)
    count = 20_000
    found = run(lambda x: random.categorical(3, x, count=count), logits)
    counted = np.array([np.bincount(row, minlength=3) / count for row in found])
    # Four standard deviations of a share drawn so often.
    np.testing.assert_allclose(counted, shares, atol=4 * np.sqrt(0.25 / count))
    assert counted[1, 1] == 0


def test_one_draw_of_each_row_has_its_shape() -> None:
    assert type_of(lambda x: random.categorical(0, x), f32[5, 2, 7]) == i64[5, 2]
    assert type_of(lambda x: random.categorical(0, x, count=4), f32["n", 7]) == i64["n", 4]
