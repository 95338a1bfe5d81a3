"""What stands around a call: faults of the data, interrupts, other threads, what lives how long."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from mlir_lite.backends.arrays import ArraySpec
from mlir_lite.backends.llvm.entry.entry import Entry
from mlir_lite.backends.llvm.entry.numpy_header import ArrayHeader
from mlir_lite.backends.llvm.entry.python_call import built_in
from mlir_lite.backends.llvm.entry.text import entry_text
from mlir_lite.backends.llvm.machine.jit import compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.program.state import STATE_TYPE, State, state_field
from mlir_lite.errors import InputError, RunError
from mlir_lite.types import i64

from .entries import HEADER, HEADERS, W, X, Y, copy_body, entry_of, linked, numbers

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
    texts = [entry_text((X, W), (Y,), "body", HEADER, Machine.host()), copy_body(1, 2, 60)]
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
    script = "import mlir_lite.backends.llvm.entry.entry; print('llvmlite' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
