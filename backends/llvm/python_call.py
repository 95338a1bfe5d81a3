"""A function of Python's own kind from compiled code: called with objects, without ctypes between.

ctypes converts each argument by itself, which takes longer than all that a small model computes.
CPython calls a built-in function with a pointer to its arguments and their number, which is what
the compiled entry wants anyway.

    define ptr @ml_call(ptr %self, ptr %objects, i64 %count)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

_METH_FASTCALL = 0x0080  # (self, arguments, their number): methodobject.h

CALL_TEXT = """
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

; Without the interpreter's lock, so that other threads of Python run meanwhile.
define ptr @ml_call(ptr %self, ptr %objects, i64 %count) nounwind {
  %state = call ptr @PyLong_AsVoidPtr(ptr %self)
  %thread = call ptr @PyEval_SaveThread()
  %code = call i64 @ml_check(ptr %state, ptr %objects)
  call void @PyEval_RestoreThread(ptr %thread)
  %number = call ptr @PyLong_FromLongLong(i64 %code)
  ret ptr %number
}
"""

_SYMBOLS = ("PyLong_AsVoidPtr", "PyLong_FromLongLong", "PyEval_SaveThread", "PyEval_RestoreThread")


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
    """Where the interpreter has what `CALL_TEXT` calls. Of CPython only."""
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
