"""The checked entry: right arrays run, wrong ones are errors that say what to do."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.backends.arrays import ArraySpec
from mlir_lite.backends.llvm.entry import Entry
from mlir_lite.backends.llvm.entry_text import Fault, decode, entry_exports, entry_text
from mlir_lite.backends.llvm.jit import Library, compile_objects
from mlir_lite.backends.llvm.machine import Machine
from mlir_lite.backends.llvm.numpy_header import ArrayHeader, array_header
from mlir_lite.backends.llvm.python_call import built_in, python_symbols
from mlir_lite.backends.llvm.state import STATE_TYPE, State, state_field
from mlir_lite.errors import InputError, RunError
from mlir_lite.types import Array, DType, bf16, f32, f64, i64

HEADER = array_header()
HEADERS = [None, HEADER]


def copy_body(index_from: int, index_to: int, size: int) -> str:
    """A body that copies `size` bytes from one argument to another."""
    return f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @body(ptr %state, ptr %arguments) nounwind {{
  %from.at = getelementptr ptr, ptr %arguments, i64 {index_from}
  %to.at = getelementptr ptr, ptr %arguments, i64 {index_to}
  %from = load ptr, ptr %from.at
  %to = load ptr, ptr %to.at
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 {size}, i1 false)
  ret void
}}
"""


def entry_of(
    parameters: Sequence[ArraySpec],
    results: Sequence[ArraySpec],
    body: str,
    header: ArrayHeader | None = HEADER,
) -> Entry:
    texts = [entry_text(parameters, results, "body", header), body]
    objects = compile_objects(texts, Machine.host(), cache=None, workers=1)
    library = linked(objects, header)
    return Entry(
        library,
        parameters,
        results,
        State(),
        header=header,
        status_error=lambda status: RunError(f"status {status}"),
    )


def linked(objects: Sequence[bytes], header: ArrayHeader | None = HEADER) -> Library:
    interpreter = {} if header is None else python_symbols()
    return Library(objects, exports=entry_exports(header), symbols=interpreter)


X, W, Y = (ArraySpec(name, f32[3, 5]) for name in "xwy")


@pytest.fixture(scope="module", params=HEADERS, ids=["python", "compiled"])
def copy(request: pytest.FixtureRequest) -> Entry:
    """(x, w) -> w, checked in compiled code and in Python alone."""
    return entry_of((X, W), (Y,), copy_body(1, 2, 60), request.param)


def numbers(shape: tuple[int, ...] = (3, 5), dtype: type = np.float32) -> Array:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


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
        entry_text(parameters, (ArraySpec("y", f64[4], donor=0),), "body", HEADER)
    with pytest.raises(InputError, match="no such donor"):
        entry_text(parameters, (ArraySpec("y", f32[4], donor=1),), "body", HEADER)


def test_sizes_beyond_memory_are_an_error() -> None:
    huge = ArraySpec("x", f32[2**31, 2**31])
    with pytest.raises(InputError, match="more bytes than memory"):
        entry_text((huge,), (), "body", HEADER)


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
    texts = [entry_text((X, W), (Y,), "body", HEADER), copy_body(1, 2, 60)]
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


STATUS_BODY = f"""
{STATE_TYPE}
define void @body(ptr %state, ptr %arguments) nounwind {{
{state_field("status", "status")}
  %value.at = load ptr, ptr %arguments
  %value = load i64, ptr %value.at
  %good = icmp eq i64 %value, 0
  br i1 %good, label %done, label %fault
fault:
  store i64 %value, ptr %status
  br label %done
done:
  ret void
}}
"""


@pytest.mark.parametrize("header", HEADERS, ids=["python", "compiled"])
def test_a_fault_of_the_data_is_the_callers_error(header: ArrayHeader | None) -> None:
    entry = entry_of((ArraySpec("x", i64[()]),), (), STATUS_BODY, header)
    assert entry((np.array(0),)) == ()
    with pytest.raises(RunError, match="status 1234"):
        entry((np.array(1234),))
    assert entry((np.array(0),)) == ()


def test_a_closed_library_is_an_error() -> None:
    texts = [entry_text((X, W), (Y,), "body", HEADER), copy_body(1, 2, 60)]
    objects = compile_objects(texts, Machine.host(), cache=None, workers=1)
    library = linked(objects)
    entry = Entry(
        library, (X, W), (Y,), State(), header=HEADER, status_error=lambda _: RunError("status")
    )
    entry((numbers(), numbers()))
    library.close()
    with pytest.raises(RunError, match="closed"):
        entry((numbers(), numbers()))


def test_calls_keep_no_reference() -> None:
    entry = entry_of((X, W), (Y,), copy_body(1, 2, 60))
    x = numbers()
    before = sys.getrefcount(x)
    for _ in range(10):
        entry((x, x))
        with pytest.raises(InputError):
            entry((x, x[:2]))
    assert sys.getrefcount(x) == before


def test_a_built_in_function_holds_what_the_interpreter_looks_at() -> None:
    """Its method, to the function's very end: whoever made it may be gone."""
    held = gc.get_referents(built_in(ctypes.addressof(ctypes.c_int64()), 0))
    assert any(isinstance(one, ctypes.Structure) for one in held)


class Interrupt(Exception):
    """What an alarm raises, as Ctrl-C raises KeyboardInterrupt."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_after_an_interrupt_the_next_call_does_not_wait() -> None:
    """One call in ten that was interrupted left its lock taken, so that hundreds are enough."""
    entry = entry_of((X, W), (Y,), copy_body(1, 2, 60))
    arrays = (numbers(), numbers())

    def interrupt(*_: object) -> None:
        raise Interrupt

    def interrupted(delay: float) -> None:
        with contextlib.suppress(Interrupt):
            signal.setitimer(signal.ITIMER_REAL, delay)
            while True:
                entry.one(arrays)

    def call() -> None:
        entry.one(arrays)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(400):
            interrupted(1e-5 * (1 + turn % 20))
            # In another thread, as it would wait for good: a daemon, so as not to be waited for.
            other = threading.Thread(target=call, daemon=True)
            other.start()
            other.join(timeout=10)
            assert not other.is_alive()
    finally:
        signal.signal(signal.SIGALRM, before)


# Gives the word it is given, once that is no longer 0, or after a second or so.
WAITING_BODY = """
define void @body(ptr %state, ptr %arguments) nounwind {
entry:
  %word.at = load ptr, ptr %arguments
  br label %wait
wait:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %again ]
  %word = load atomic i64, ptr %word.at acquire, align 8
  %still = icmp eq i64 %word, 0
  br i1 %still, label %again, label %done
again:
  %turn.next = add i64 %turn, 1
  %more = icmp ult i64 %turn.next, 2000000000
  br i1 %more, label %wait, label %done
done:
  %seen.at.at = getelementptr ptr, ptr %arguments, i64 1
  %seen.at = load ptr, ptr %seen.at.at
  store i64 %word, ptr %seen.at
  ret void
}
"""


@pytest.mark.parametrize("header", HEADERS, ids=["python", "compiled"])
def test_other_threads_of_python_run_during_a_call(header: ArrayHeader | None) -> None:
    entry = entry_of((ArraySpec("x", i64[()]),), (ArraySpec("y", i64[()]),), WAITING_BODY, header)
    word = np.array(0)
    timer = threading.Timer(0.02, lambda: word.fill(1))
    timer.start()
    [seen] = entry((word,))
    assert seen == 1
    timer.join()


def test_importing_the_entry_does_not_load_llvm() -> None:
    script = "import sys, mlir_lite.backends.llvm.entry as _; print('llvmlite' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
