"""Philox-4x32-10: random numbers by their number, not by a state that one call hands to the next.

Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011). Ten rounds turn
a counter of four 32-bit words and a key of two into four random words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import Array

ROUNDS = 10
FACTORS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio, the square root of 3 less 1
WORD = 0xFFFFFFFF


def philox(seed: Array, stream: Array, place: Array) -> Array:
    """The 64 random bits at a place of a stream; all are i64.

    The key is the seed. The counter's upper half is the stream, its lower the place without its
    last bit, which says whether the result is the first two words or the last two.
    """
    if any(array.dtype != np.int64 for array in (seed, stream, place)):
        raise TypeError("philox takes i64")
    key, high = _words(seed), _words(stream)
    low = _words(np.right_shift(place, 1))
    words = philox_block((*low, *high), key)
    odd = np.bitwise_and(place, 1) == 1
    first = np.where(odd, words[2], words[0])
    second = np.where(odd, words[3], words[1])
    bits: Array = np.asarray(first | second << np.uint64(32)).view(np.int64)
    return bits


def philox_block(counter: Sequence[Array], key: Sequence[Array]) -> tuple[Array, ...]:
    """Four random words of four counting ones and a key of two; u64 that hold 32 bits."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    mask, half = np.uint64(WORD), np.uint64(32)
    for _ in range(ROUNDS):
        left, right = c0 * np.uint64(FACTORS[0]), c2 * np.uint64(FACTORS[1])
        c0, c1, c2, c3 = (
            (right >> half) ^ c1 ^ k0,
            right & mask,
            (left >> half) ^ c3 ^ k1,
            left & mask,
        )
        k0 = (k0 + np.uint64(KEY_STEPS[0])) & mask
        k1 = (k1 + np.uint64(KEY_STEPS[1])) & mask
    return c0, c1, c2, c3


def _words(x: Array) -> tuple[Array, Array]:
    """The lower and the upper half of an i64, as u64."""
    bits = np.asarray(x).view(np.uint64)
    return bits & np.uint64(WORD), bits >> np.uint64(32)
