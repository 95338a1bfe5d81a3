"""Arrays of other libraries are read in place."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f16
from mlir_lite.backends.cuda.card.device_array import DeviceArray
from mlir_lite.backends.cuda.card.dlpack import read_tensor
from mlir_lite.types import Array

from ..examples import BY_NAME, arrays_for
from ..foreign import Foreign, Old, Versioned
from ..on_shim import executable_on
from ..shim import needs_shim
from ..shim_card import ShimCard


@pytest.mark.parametrize("kind", [Foreign, Old, Versioned])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(24, dtype=np.int64).reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1),
        np.array(3, np.uint8),
        np.zeros((0, 5), np.float16),
        np.array([True, False]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_of_another_library_is_read_in_place(
    kind: type[Foreign], array: Array
) -> None:
    tensor = read_tensor(kind(array), "x", 7)
    facts = tensor.facts
    assert (facts.dtype, facts.shape) == (array.dtype, array.shape)
    assert facts.is_contiguous == array.flags.c_contiguous
    if array.size:
        assert facts.strides == array.strides
        assert facts.address == array.ctypes.data


class Shifted(Foreign):
    """One whose elements begin later than its memory."""

    def __dlpack__(self, *, stream: int | None = None, max_version: object = None) -> object:
        capsule = self.array.__dlpack__()
        pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
            ("PyCapsule_GetPointer", ctypes.pythonapi)
        )
        words = (ctypes.c_uint64 * 6).from_address(pointer(capsule, b"dltensor"))
        words[0] -= 8  # the data
        words[5] += 8  # the offset in bytes
        return capsule


def test_elements_may_begin_later_than_their_memory() -> None:
    array = np.zeros(3)
    assert read_tensor(Shifted(array), "x", 7).facts.address == array.ctypes.data


def test_what_is_read_only_is_known_to_be() -> None:
    array = np.zeros(3)
    assert read_tensor(Versioned(array), "x", 7).facts.is_writeable
    array.flags.writeable = False
    assert not read_tensor(Versioned(array), "x", 7).facts.is_writeable


def test_what_is_read_is_held_no_longer_than_needed() -> None:
    array = np.zeros(3)
    ended: list[int] = []

    class Watched(np.ndarray[Any, Any]):
        def __del__(self) -> None:
            ended.append(1)

    watched = array.view(Watched)
    tensor = read_tensor(Foreign(watched), "x", 7)
    del watched
    gc.collect()
    assert not ended
    del tensor
    gc.collect()
    assert ended


def test_another_librarys_refusal_is_an_input_error() -> None:
    class Closed:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

        def __dlpack__(self, *, stream: int | None = None, max_version: object = None) -> object:
            raise BufferError("it requires grad")

    with pytest.raises(InputError, match="'x': this Closed cannot be read as an array: it req"):
        read_tensor(Closed(), "x", 7)
    complex_ = Foreign(np.zeros(2, np.complex64))
    with pytest.raises(InputError, match="'x': elements of DLPack's type"):
        read_tensor(complex_, "x", 7)


@needs_shim
def test_calls_take_arrays_of_others_without_a_copy() -> None:
    shim = ShimCard(late=True)
    fn = BY_NAME["linear"]
    run = executable_on(shim, fn)
    x, w, b = arrays_for(fn)
    given = Foreign(x)
    result = run(given, w, b)
    assert isinstance(result, DeviceArray)
    # The producer was told which stream is to wait for it.
    assert given.streams == [1001]  # the first was for the weights
    np.testing.assert_allclose(result.numpy(), np.maximum(x @ w + b, 0), rtol=1e-5, atol=1e-5)
    place = np.zeros((33, 20), np.float32)
    there = Foreign(place)
    assert run(x, w, b, out=there) is there
    for stream in shim.streams.values():
        stream.synchronise()
    np.testing.assert_array_equal(place, result.numpy())


@needs_shim
def test_arrays_of_others_are_held_until_they_are_read() -> None:
    shim = ShimCard(late=True)
    fn = BY_NAME["linear"]
    run = executable_on(shim, fn)
    ended: list[bool] = []
    x, w, b = arrays_for(fn)

    class Watched(np.ndarray[Any, Any]):
        def __del__(self) -> None:
            ended.append(shim.launched > 0 and all(s.done == s.put for s in shim.streams.values()))

    given = Foreign(x.view(Watched))
    expected = np.maximum(x @ w + b, 0)
    result = run(given, w, b)
    del given
    gc.collect()
    assert not ended
    del run
    gc.collect()
    assert ended == [True]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5, atol=1e-5)


@needs_shim
def test_what_does_not_fit_is_told_in_the_words_of_its_library() -> None:
    fn = BY_NAME["linear"]
    run = executable_on(ShimCard(), fn)
    x, w, b = arrays_for(fn)

    class Tensor(Versioned):
        pass

    Tensor.__module__ = "torch"
    turned = np.ascontiguousarray(x.T).T
    for wrong, words in (
        (x.astype(np.float64), r"expected dtype float32, got .*64; fix: x\.to\(torch\.float32\)"),
        (turned, r"expected a C-contiguous array, got .*; fix: x\.contiguous\(\)"),
        (x[:5], r"expected shape \(33, 70\), got shape \(5, 70\)"),
    ):
        with pytest.raises(InputError, match=words):
            run(Tensor(wrong), w, b)
    place = np.zeros((33, 20), np.float32)
    place.flags.writeable = False
    with pytest.raises(InputError, match=r"got a read-only one; fix: .*\.clone\(\)"):
        run(x, w, b, out=Tensor(place))


@needs_shim
def test_slices_that_begin_too_early_are_refused() -> None:
    @ml.function(f16[40, 256], f16[256, 40])
    def product(x: Value, w: Value) -> Value:
        return x @ w

    run = executable_on(ShimCard(), product)
    x, w = np.ones((40, 256), np.float16), np.ones((256, 40), np.float16)
    assert isinstance(run(Foreign(begun(x, 0)), w), DeviceArray)
    run(begun(x, 2), w)  # of the host: it is copied
    with pytest.raises(InputError, match=r"'x' begins at no multiple of 16 bytes, as a slice may"):
        run(Foreign(begun(x, 2)), w)


def begun(array: Array, offset: int) -> Array:
    """A copy whose address is so many bytes after a multiple of 16."""
    memory = np.zeros(array.nbytes + 32, np.uint8)
    start = -memory.ctypes.data % 16 + offset
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
