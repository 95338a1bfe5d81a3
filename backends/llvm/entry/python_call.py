"""A function of Python's own kind from compiled code: called with objects, without ctypes between.

ctypes converts each argument by itself, which takes longer than all that a small model computes.
CPython calls a built-in function with a pointer to its arguments and their number, which is what
the compiled entry wants anyway.

    define ptr @ml_call(ptr %self, ptr %objects, i64 %count)
    define i64 @ml_poll(ptr %state)

Python notes a signal at once, but its handlers (Ctrl-C's raises KeyboardInterrupt) run only where
the interpreter asks. Long calls therefore ask too, between steps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from string import Template
from typing import cast

from ..machine.machine import Machine
from ..program.state import state_place

_METH_FASTCALL = 0x0080  # (self, arguments, their number): methodobject.h

# Ticks between two questions for signals: 0.1 to 0.3 s of x86's time stamps (2 to 5 GHz), 2 to
# 90 ms of ARM's counter (24 MHz to 1 GHz). A question waits for the interpreter's lock, up to 5 ms
# while another thread computes in Python.
_TICKS = {"x86_64": 1 << 29}
_OTHER_TICKS = 1 << 21


def call_text(machine: Machine) -> str:
    """The functions that hold to Python: `@ml_call`, `@ml_run_unlocked` and `@ml_poll`."""
    return Template(_CALL).substitute(
        counter=machine.counter,
        ticks=_TICKS.get(machine.architecture, _OTHER_TICKS),
        polled=state_place("polled", "polled"),
    )


_CALL = """
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()
declare ptr @PyErr_Occurred()
declare i64 @$counter()

; Without the interpreter's lock, so that other threads of Python run meanwhile. Where there is a
; fault of the data, a signal's handler may have raised an error of its own.
define ptr @ml_call(ptr %self, ptr %objects, i64 %count) nounwind {
  %state = call ptr @PyLong_AsVoidPtr(ptr %self)
$polled
  store i64 0, ptr %polled.at
  %thread = call ptr @PyEval_SaveThread()
  %code = call i64 @ml_check(ptr %state, ptr %objects)
  call void @PyEval_RestoreThread(ptr %thread)
  %good = icmp eq i64 %code, 0
  br i1 %good, label %number, label %fault
fault:
  %raised = call ptr @PyErr_Occurred()
  %none = icmp eq ptr %raised, null
  br i1 %none, label %number, label %raise
number:
  %object = call ptr @PyLong_FromLongLong(i64 %code)
  ret ptr %object
raise:
  ret ptr null
}

; `@ml_run` for a caller that holds the interpreter's lock.
define i64 @ml_run_unlocked(ptr %state, ptr %arguments) nounwind {
$polled
  store i64 0, ptr %polled.at
  %thread = call ptr @PyEval_SaveThread()
  %code = call i64 @ml_run(ptr %state, ptr %arguments)
  call void @PyEval_RestoreThread(ptr %thread)
  ret i64 %code
}

; Not 0 where a handler has raised an error, which the call then ends with. Handlers run in Python's
; main thread alone; in others this only looks. What a call asks first starts its clock.
define i64 @ml_poll(ptr %state) nounwind {
$polled
  %before = load i64, ptr %polled.at
  %now = call i64 @$counter()
  %passed = sub i64 %now, %before
  %late = icmp ugt i64 %passed, $ticks
  %first = icmp eq i64 %before, 0
  br i1 %first, label %start, label %more
start:
  store i64 %now, ptr %polled.at
  ret i64 0
more:
  br i1 %late, label %ask, label %go
go:
  ret i64 0
ask:
  %lock = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %lock)
  %after = call i64 @$counter()
  store i64 %after, ptr %polled.at
  %ends = sext i32 %raised to i64
  ret i64 %ends
}
"""

_SYMBOLS = (
    "PyLong_AsVoidPtr",
    "PyLong_FromLongLong",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyErr_CheckSignals",
    "PyErr_Occurred",
)


class _Method(ctypes.Structure):
    """CPython's `PyMethodDef`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@cache
def python_symbols() -> Mapping[str, int]:
    """Where the interpreter has what `call_text` calls. Of CPython only."""
    functions = ((name, getattr(ctypes.pythonapi, name)) for name in _SYMBOLS)
    return {name: ctypes.cast(function, ctypes.c_void_p).value or 0 for name, function in functions}


def built_in(address: int, state: int) -> Callable[..., int]:
    """The code at an address as a function of Python's objects, which must be as many as it reads.

    `state` is the address it gets with each call. The code must outlive the function.
    """
    method = _Method(b"ml_call", address, _METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.POINTER(_Method), ctypes.py_object, ctypes.py_object]
    # The interpreter looks at the method until the function is gone, which so holds it: as its
    # module, which may be any object.
    return cast(Callable[..., int], make(ctypes.byref(method), state, method))
