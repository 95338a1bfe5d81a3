"""The checked entry: right arrays run, wrong ones are errors that say what to do."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.backends.arrays import ArraySpec
from mlir_lite.backends.llvm.entry.entry import Entry
from mlir_lite.backends.llvm.entry.numpy_header import ArrayHeader
from mlir_lite.backends.llvm.entry.python_call import built_in
from mlir_lite.backends.llvm.entry.text import Fault, decode, entry_text
from mlir_lite.backends.llvm.machine.jit import compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.program.state import State
from mlir_lite.errors import InputError
from mlir_lite.types import Array, DType, bf16, f32, f64, i64

from .entries import HEADER, HEADERS, W, X, Y, copy_body, entry_of, linked, numbers


@pytest.fixture(scope="module", params=HEADERS, ids=["python", "compiled"])
def copy(request: pytest.FixtureRequest) -> Entry:
    """(x, w) -> w, checked in compiled code and in Python alone."""
    return entry_of((X, W), (Y,), copy_body(1, 2, 60), request.param)


def test_results_are_new_arrays(copy: Entry) -> None:
    first = copy((numbers(), numbers() + 7))
    second = copy((numbers(), numbers() + 9))
    np.testing.assert_array_equal(first[0], numbers() + 7)
    np.testing.assert_array_equal(second[0], numbers() + 9)


def test_results_go_where_out_says(copy: Entry) -> None:
    y = np.zeros((3, 5), np.float32)
    [result] = copy((numbers(), numbers() + 7), (y,))
    assert result is y
    np.testing.assert_array_equal(y, numbers() + 7)


class Subclass(np.ndarray):
    """An array of a type of its own."""


class Offers:
    """An object of another library, known by one attribute."""

    def __init__(self, array: Array) -> None:
        self.array = array


class OffersArray(Offers):
    def __array__(self, dtype: object = None, copy: object = None) -> Array:
        return self.array


class OffersDlpack(Offers):
    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


FITTING: dict[str, Callable[[Array], object]] = {
    "subclass": lambda array: array.view(Subclass),
    "dtype with metadata": lambda array: array.view(np.dtype(np.float32, metadata={"unit": "m"})),
    "__array__": OffersArray,
    "__dlpack__": OffersDlpack,
    "buffer": lambda array: memoryview(array),  # type: ignore[arg-type]
    "read-only": lambda array: _readonly(array),
    "slice of a larger one": lambda array: np.concatenate([array, array])[3:],
    "unaligned": lambda array: _unaligned(array),
}


def _readonly(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _unaligned(array: Array) -> Array:
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    moved = memory.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


@pytest.mark.parametrize("kind", FITTING)
def test_whatever_holds_the_right_array_goes_in(copy: Entry, kind: str) -> None:
    [y] = copy((numbers(), FITTING[kind](numbers() + 3)))
    np.testing.assert_array_equal(y, numbers() + 3)


def test_results_go_into_a_subclass_and_a_slice(copy: Entry) -> None:
    memory = np.zeros((6, 5), np.float32)
    copy((numbers(), numbers() + 7), (memory[3:].view(Subclass),))
    np.testing.assert_array_equal(memory[3:], numbers() + 7)
    np.testing.assert_array_equal(memory[:3], 0)


WRONG: dict[str, tuple[Callable[[Array], object], str]] = {
    "dtype": (
        lambda w: w.astype(np.float64),
        r"'w': expected dtype float32, got dtype float64; fix: w\.astype\(np\.float32\)",
    ),
    "byte order": (lambda w: w.astype(">f4"), r"other byte order; fix: w\.astype"),
    "rank": (
        lambda w: w.reshape(15),
        r"shape \(3, 5\), got shape \(15,\); fix: w\.reshape\(3, 5\)",
    ),
    "0-d": (lambda w: w[0, 0, ...], r"expected shape \(3, 5\), got shape \(\)"),
    "shape": (lambda w: w[:2], r"expected shape \(3, 5\), got shape \(2, 5\)"),
    "transposed": (lambda w: w.reshape(5, 3), r"np\.ascontiguousarray\(w\.T\)"),
    "strides": (
        lambda w: np.asfortranarray(w),
        r"strides \(4, 12\) for shape \(3, 5\); fix: np\.ascontiguousarray\(w\)",
    ),
    "negative strides": (lambda w: w[::-1], r"strides \(-20, 4\)"),
    "zero strides": (lambda w: np.broadcast_to(w[0], (3, 5)), r"strides \(0, 4\)"),
    "step": (lambda w: np.concatenate([w, w])[::2], r"strides \(40, 4\)"),
    "list": (lambda w: w.tolist(), r"got a list; fix: np\.asarray\(w, dtype=np\.float32\)"),
    "number": (lambda w: 3.0, r"expected an array, got a float"),
    "nothing": (lambda w: None, r"expected an array, got a NoneType"),
    "text": (lambda w: "w", r"expected an array, got a str"),
    "masked": (lambda w: np.ma.masked_array(w, w > 3), r"masked array; fix: w\.filled"),
    "wrong behind __array__": (lambda w: OffersArray(w[::-1]), r"strides \(-20, 4\)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_parameter_is_named(copy: Entry, kind: str) -> None:
    spoil, message = WRONG[kind]
    with pytest.raises(InputError, match=message):
        copy((numbers(), spoil(numbers())))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda: np.zeros((3, 5)), r"'y': expected dtype float32"),
        (lambda: np.zeros((5, 3), np.float32).T, r"'y': expected a C-contiguous array"),
        (lambda: _readonly(numbers()), r"'y': expected a writeable array, got a read-only one"),
        (lambda: OffersArray(numbers()), r"'y' is written to, so it must be a NumPy array"),
    ],
)
def test_a_wrong_result_is_named(copy: Entry, out: Callable[[], Array], message: str) -> None:
    with pytest.raises(InputError, match=message):
        copy((numbers(), numbers()), (out(),))


@pytest.mark.parametrize("shift", [-14, -1, 0, 1, 14])
def test_a_result_may_not_overlap_a_parameter(copy: Entry, shift: int) -> None:
    memory = np.zeros(60, np.float32)
    w = memory[20:35].reshape(3, 5)
    y = memory[20 + shift : 35 + shift].reshape(3, 5)
    with pytest.raises(InputError, match=r"result 'y' overlaps 'w' in memory; .*out="):
        copy((numbers(), w), (y,))


@pytest.mark.parametrize("shift", [-15, 15])
def test_a_result_may_touch_a_parameter(copy: Entry, shift: int) -> None:
    memory = np.arange(60, dtype=np.float32)
    w = memory[20:35].reshape(3, 5)
    y = memory[20 + shift : 35 + shift].reshape(3, 5)
    expected = w.copy()
    copy((numbers(), w), (y,))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(w, expected)


def test_parameters_may_be_one_array(copy: Entry) -> None:
    x = numbers()
    np.testing.assert_array_equal(copy((x, x))[0], x)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_arrays_is_named(copy: Entry, count: int) -> None:
    with pytest.raises(InputError, match=rf"expected 2 arrays \('x', 'w'\), got {count}"):
        copy([numbers()] * count)
    with pytest.raises(InputError, match=r"expected 1 arrays in out \('y'\), got 2"):
        copy((numbers(), numbers()), (numbers(), numbers()))


def test_results_may_not_overlap_each_other() -> None:
    results = (ArraySpec("y", f32[4]), ArraySpec("z", f32[4]))
    entry = entry_of((ArraySpec("x", f32[4]),), results, copy_body(0, 1, 16))
    memory = np.zeros(8, np.float32)
    with pytest.raises(InputError, match="result 'z' overlaps 'y'"):
        entry((numbers((4,)),), (memory[:4], memory[1:5]))
    entry((numbers((4,)),), (memory[:4], memory[4:]))
    np.testing.assert_array_equal(memory[:4], numbers((4,)))


@pytest.mark.parametrize("header", HEADERS, ids=["python", "compiled"])
class TestDonor:
    """A result that takes over a parameter's array."""

    X, W = ArraySpec("x", f32[4]), ArraySpec("w", f32[4])
    NEW_W = ArraySpec("w.new", f32[4], donor=1)

    def entry(self, header: ArrayHeader | None) -> Entry:
        return entry_of((self.X, self.W), (self.NEW_W,), copy_body(0, 2, 16), header)

    def test_the_parameter_is_the_result(self, header: ArrayHeader | None) -> None:
        x, w = numbers((4,)), np.zeros(4, np.float32)
        [result] = self.entry(header)((x, w))
        assert result is w
        np.testing.assert_array_equal(w, x)

    def test_no_other_parameter_may_share_it(self, header: ArrayHeader | None) -> None:
        w = np.zeros(4, np.float32)
        with pytest.raises(InputError, match=r"result 'w\.new' overlaps 'x'"):
            self.entry(header)((w, w))

    def test_it_must_be_an_array_of_numpy(self, header: ArrayHeader | None) -> None:
        with pytest.raises(InputError, match="'w' is written to"):
            self.entry(header)((numbers((4,)), OffersArray(numbers((4,)))))

    def test_it_may_be_a_subclass(self, header: ArrayHeader | None) -> None:
        w = np.zeros(4, np.float32)
        self.entry(header)((numbers((4,)), w.view(Subclass)))
        np.testing.assert_array_equal(w, numbers((4,)))

    def test_it_must_be_writeable(self, header: ArrayHeader | None) -> None:
        with pytest.raises(InputError, match="writeable"):
            self.entry(header)((numbers((4,)), _readonly(numbers((4,)))))


def test_a_donor_has_the_type_of_its_result() -> None:
    parameters = (ArraySpec("x", f32[4]),)
    with pytest.raises(InputError, match="another type"):
        entry_text(parameters, (ArraySpec("y", f64[4], donor=0),), "body", HEADER, Machine.host())
    with pytest.raises(InputError, match="no such donor"):
        entry_text(parameters, (ArraySpec("y", f32[4], donor=1),), "body", HEADER, Machine.host())


def test_sizes_beyond_memory_are_an_error() -> None:
    huge = ArraySpec("x", f32[2**31, 2**31])
    with pytest.raises(InputError, match="more bytes than memory"):
        entry_text((huge,), (), "body", HEADER, Machine.host())


@pytest.mark.parametrize("header", HEADERS, ids=["python", "compiled"])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (1, 4, 1), (2, 3, 1, 5)])
@pytest.mark.parametrize("dtype", [f32, f64, i64, bf16], ids=str)
def test_all_ranks_and_dtypes(
    header: ArrayHeader | None, shape: tuple[int, ...], dtype: DType
) -> None:
    x, y = ArraySpec("x", dtype[shape]), ArraySpec("y", dtype[shape])
    entry = entry_of((x,), (y,), copy_body(0, 1, x.type.nbytes), header)
    array = numbers(shape).astype(dtype.numpy)
    [result] = entry((array,))
    assert result.dtype == dtype.numpy
    np.testing.assert_array_equal(result, array)


def test_strides_of_single_and_empty_axes_do_not_matter() -> None:
    one = ArraySpec("x", f32[1, 4])
    entry = entry_of((one,), (ArraySpec("y", f32[1, 4]),), copy_body(0, 1, 16))
    column = np.zeros((9, 4), np.float32)[::3][:1]
    odd = np.lib.stride_tricks.as_strided(column, (1, 4), (-400, 4))
    entry((odd,))
    empty = ArraySpec("x", f32[0, 4])
    entry = entry_of((empty,), (ArraySpec("y", f32[0, 4]),), copy_body(0, 1, 0))
    entry((np.zeros((4, 9), np.float32)[:, :0].T[:, :4],))


def test_bfloat16_is_no_uint16() -> None:
    x = ArraySpec("x", bf16[2])
    entry = entry_of((x,), (ArraySpec("y", bf16[2]),), copy_body(0, 1, 4))
    with pytest.raises(InputError, match=r"bfloat16, got dtype uint16; .*ml_dtypes\.bfloat16"):
        entry((np.zeros(2, np.uint16),))
    entry((np.zeros(2, ml_dtypes.bfloat16),))


@pytest.mark.skipif(HEADER is None, reason="no compiled check here")
@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda w: w, Fault.NONE),
        (lambda w: w.tolist(), Fault.TYPE),
        (lambda w: w.reshape(15), Fault.RANK),
        (lambda w: w.reshape(5, 3), Fault.SHAPE),
        (lambda w: w.astype(np.int32), Fault.DTYPE),
        (lambda w: w[::-1], Fault.FLAGS),
    ],
)
def test_the_compiled_check_names_array_and_fault(
    spoil: Callable[[Array], object], fault: Fault
) -> None:
    """Straight into the compiled function, without the second look."""
    assert compiled_code(numbers(), spoil(numbers()), numbers()) == (fault, 1 if fault else 0)


@pytest.mark.skipif(HEADER is None, reason="no compiled check here")
def test_the_compiled_check_sees_overlap_and_read_only_results() -> None:
    x = numbers()
    assert compiled_code(x, numbers(), x) == (Fault.OVERLAP, 2)
    assert compiled_code(x, numbers(), _readonly(numbers())) == (Fault.FLAGS, 2)
    memory = np.zeros((9, 5), np.float32)
    before, middle, after = memory[:3], memory[3:6], memory[6:]
    assert compiled_code(before, after, middle) == (Fault.NONE, 0)


def compiled_code(*arrays: object) -> tuple[Fault, int]:
    texts = [entry_text((X, W), (Y,), "body", HEADER, Machine.host()), copy_body(1, 2, 60)]
    objects = compile_objects(texts, Machine.host(), cache=None, workers=1)
    library = linked(objects)
    status = ctypes.c_int64()
    dtype = np.dtype(np.float32)
    types = (ctypes.c_void_p * 4)(id(np.ndarray), id(dtype), id(dtype), id(dtype))
    state = State(status=ctypes.addressof(status), types=ctypes.addressof(types))
    call = built_in(library.address("ml_call"), ctypes.addressof(state))
    return decode(call(*arrays))


@pytest.mark.parametrize("count", [0, 1, 1200])
def test_any_number_of_parameters(count: int) -> None:
    parameters = [ArraySpec(f"p{index}", f32[2]) for index in range(count)]
    body = copy_body(max(count - 1, 0), count, 8)
    entry = entry_of(parameters, (ArraySpec("y", f32[2]),), body)
    arrays: list[Array] = [np.full(2, index, np.float32) for index in range(count)]
    [y] = entry(arrays)
    if arrays:
        np.testing.assert_array_equal(y, arrays[-1])
        arrays[-1] = np.zeros(3, np.float32)
        with pytest.raises(InputError, match=f"'p{count - 1}'"):
            entry(arrays)
