"""Readers of spectra: discrete Fourier transforms as products with the matrix of their waves.

A complex number is a last axis of two, a real one of one.
"""

from __future__ import annotations

import numpy as np

from .... import ops
from ....errors import ParseError, check
from ....ir import Value
from ....ops.base.promote import as_value as lift
from ....ops.shapes.slice import slice_axis
from ....sizes import static
from ....types import DType
from ..call import Call, Results
from ..sizes import normal_axis, number
from ..weights import element_type


def dft(call: Call) -> Results:
    """The discrete Fourier transform along an axis; the last axis has real and imaginary parts."""
    x = call.value(0)
    if call.version < 20:
        given = call.int_("axis", 1)
    else:
        given = number(call.integer(2), "the axis") if call.has(2) else -2
    axis = normal_axis(given, x.rank)
    check(axis < x.rank - 1, "the last axis has the parts of complex numbers", ParseError)
    inverse, onesided = bool(call.int_("inverse", 0)), bool(call.int_("onesided", 0))
    length = static((x.shape[axis],))[0]
    if inverse and onesided:
        length = 2 * (length - 1)
    if call.has(1):
        length = number(call.integer(1), "the length")
    check(length > 0, f"a transform of length {length}", ParseError)
    parts = [ops.moveaxis(part, axis, -1) for part in _parts(x)]
    found = _transformed(parts, length, inverse=inverse, onesided=onesided)
    return ops.stack([ops.moveaxis(part, -1, axis) for part in found], -1)


def stft(call: Call) -> Results:
    """The transforms of frames `frame_step` apart, each weighted by the window."""
    x = call.value(0)
    check(x.rank == 3, f"a signal of rank {x.rank}", ParseError)
    total = static((x.shape[1],))[0]
    length = static((call.shape(2)[0],))[0] if call.has(2) else total
    if call.has(3):
        length = number(call.integer(3), "the length of a frame")
    step = number(call.integer(1), "the step")
    check(step > 0 and 0 < length <= total, f"frames of {length}, {step} apart", ParseError)
    places = np.arange(0, total - length + 1, step)[:, None] + np.arange(length)
    parts = [ops.gather(part, lift(places), 1) for part in _parts(x)]
    if call.has(2):
        parts = [ops.multiply(part, call.value(2)) for part in parts]
    onesided = bool(call.int_("onesided", 1))
    return ops.stack(_transformed(parts, length, inverse=False, onesided=onesided), -1)


def mel_weight_matrix(call: Call) -> Results:
    """How much each bin of a spectrum is in each band: triangles on the scale of mel."""
    bands, length, rate = (number(call.integer(place), "a count") for place in range(3))
    low, high = (float(call.scalar(place)) for place in (3, 4))
    check(bands > 0 and length > 0 and rate > 0, "there are no bands", ParseError)
    ends = 2595 * np.log10(1 + np.array([low, high]) / 700)
    mels = ends[0] + np.arange(bands + 2) * ((ends[1] - ends[0]) / (bands + 2))
    hertz = 700 * (10 ** (mels / 2595) - 1)
    places = ((length + 1) * hertz // rate).astype(np.int64)
    left, centre, right = (places[None, k : k + bands] for k in range(3))
    bins = np.arange(length // 2 + 1)[:, None]
    rising = (bins - left) / np.maximum(1, centre - left)
    falling = (right - bins) / np.maximum(1, right - centre)
    weights = np.where(bins < centre, rising, np.where(bins > centre, falling, 1))
    inside = ((bins >= left) & (bins < right)) | (bins == centre)
    dtype = element_type(call.int_("output_datatype", 1), "the result")
    return ops.cast(lift(np.where(inside, weights, 0)), dtype)


def _parts(x: Value) -> list[Value]:
    """The real numbers that `x` is, and the imaginary ones if there are."""
    count = static((x.shape[-1],))[0]
    check(count in (1, 2), f"numbers of {count} parts", ParseError)
    return [ops.reshape(slice_axis(x, -1, part, 1), x.shape[:-1]) for part in range(count)]


def _transformed(
    parts: list[Value], length: int, *, inverse: bool, onesided: bool
) -> list[Value]:
    """The transform along the last axis, cut or filled with zeros to the length."""
    count = length // 2 + 1 if onesided else length
    taken, made = (count, length) if inverse else (length, count)
    parts = [_resized(part, taken) for part in parts]
    cosines, sines = _waves(taken, made, length, parts[0].dtype, halved=inverse and onesided)
    if inverse:
        sines = ops.negative(sines)
        cosines, sines = (ops.multiply(wave, 1 / length) for wave in (cosines, sines))
    real, *imaginary = parts
    along = ops.matmul(real, cosines)
    across = ops.negative(ops.matmul(real, sines))
    for other in imaginary:
        along = ops.add(along, ops.matmul(other, sines))
        across = ops.add(across, ops.matmul(other, cosines))
    return [along] if inverse and onesided else [along, across]


def _waves(
    taken: int, made: int, length: int, dtype: DType, *, halved: bool
) -> tuple[Value, Value]:
    """cos and sin of 2π n k / length; `halved`, bins stand for the ones that mirror them too."""
    # Whole turns are taken off in integers: the angle stays exact.
    turns = np.outer(np.arange(taken), np.arange(made)) % length
    angles = 2 * np.pi * turns / length
    weights = np.ones((taken, 1))
    if halved:
        bins = np.arange(taken)[:, None]
        weights = np.where((bins == 0) | (2 * bins == length), 1.0, 2.0)
    cosines, sines = (np.asarray(wave(angles) * weights) for wave in (np.cos, np.sin))
    return lift(cosines.astype(dtype.numpy)), lift(sines.astype(dtype.numpy))


def _resized(x: Value, length: int) -> Value:
    """The first elements of the last axis, zeros where there are no more."""
    size = static((x.shape[-1],))[0]
    if size > length:
        return slice_axis(x, -1, 0, length)
    return ops.pad(x, [*((0, 0),) * (x.rank - 1), (0, length - size)]) if size < length else x
