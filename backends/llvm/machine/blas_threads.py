"""OpenBLAS without threads of its own while a kernel of ours calls it.

Our threads share out the matrices of a batch. Were each call to wake others, they would be more
than the processors, and an executable for one thread would use them all. So a kernel enters before
it calls, and leaves after: the first to enter tells OpenBLAS to use one thread, the last to leave
tells it what it was told before.

    call void @ml_blas_enter() .. call void @ml_blas_leave()

In the child of a fork nobody is inside: who was is another process's.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from string import Template
from typing import Any

from ...code_cache import default_cache
from .jit import Library, compile_objects
from .machine import Machine

ENTER, LEAVE, _RESET = "ml_blas_enter", "ml_blas_leave", "ml_blas_reset"

_PREFIXES, _SUFFIXES = ("scipy_", ""), ("", "64_")  # as builds of OpenBLAS name their functions

_TEXT = """\
@ml_blas_lock = internal global i32 0
@ml_blas_users = internal global i64 0
@ml_blas_before = internal global i32 0
declare i32 @ml_blas_get()
declare void @ml_blas_set(i32)

define internal void @ml_blas_take() nounwind {
entry:
  br label %look
look:
  %pair = cmpxchg ptr @ml_blas_lock, i32 0, i32 1 acquire monotonic
  %taken = extractvalue { i32, i1 } %pair, 1
  br i1 %taken, label %done, label %look
done:
  ret void
}

define void @$enter() nounwind {
entry:
  call void @ml_blas_take()
  %users = load i64, ptr @ml_blas_users
  %first = icmp eq i64 %users, 0
  br i1 %first, label %one, label %done
one:
  %before = call i32 @ml_blas_get()
  store i32 %before, ptr @ml_blas_before
  call void @ml_blas_set(i32 1)
  br label %done
done:
  %more = add i64 %users, 1
  store i64 %more, ptr @ml_blas_users
  store atomic i32 0, ptr @ml_blas_lock release, align 4
  ret void
}

define void @$leave() nounwind {
entry:
  call void @ml_blas_take()
  %users = load i64, ptr @ml_blas_users
  %fewer = sub i64 %users, 1
  store i64 %fewer, ptr @ml_blas_users
  %last = icmp eq i64 %fewer, 0
  br i1 %last, label %restore, label %done
restore:
  %before = load i32, ptr @ml_blas_before
  call void @ml_blas_set(i32 %before)
  br label %done
done:
  store atomic i32 0, ptr @ml_blas_lock release, align 4
  ret void
}

define void @$reset() nounwind {
entry:
  %users = load i64, ptr @ml_blas_users
  %none = icmp eq i64 %users, 0
  br i1 %none, label %done, label %restore
restore:
  %before = load i32, ptr @ml_blas_before
  call void @ml_blas_set(i32 %before)
  store i64 0, ptr @ml_blas_users
  br label %done
done:
  store atomic i32 0, ptr @ml_blas_lock release, align 4
  ret void
}
"""
_EMPTY = """\
define void @$reset() nounwind {
  ret void
}

define void @$enter() nounwind {
  ret void
}

define void @$leave() nounwind {
  ret void
}
"""


@cache
def blas_threads(module_file: str) -> Library:
    """The functions that kernels enter and leave by, for the OpenBLAS that a module of SciPy's is
    linked with, once in a process. With another library they do nothing."""
    functions = openblas_functions(module_file)
    text = Template(_TEXT if functions else _EMPTY).substitute(
        enter=ENTER, leave=LEAVE, reset=_RESET
    )
    [code] = compile_objects([text], Machine.host(), cache=default_cache(), workers=1)
    symbols = {
        f"ml_blas_{name}": ctypes.cast(function, ctypes.c_void_p).value or 0
        for name, function in functions.items()
    }
    library = Library([code], exports=(ENTER, LEAVE, _RESET), symbols=symbols)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=ctypes.CFUNCTYPE(None)(library.address(_RESET)))
    return library


def openblas_functions(module_file: str) -> dict[str, Any]:
    """OpenBLAS's functions that `get` and `set` its number of threads; empty where it is not what
    the module is linked with. (They are of ctypes, which has no type for them.)"""
    library = ctypes.CDLL(module_file)  # a look-up also searches what the module depends on
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            names = {
                verb: f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("get", "set")
            }
            if all(hasattr(library, name) for name in names.values()):
                return {verb: getattr(library, name) for verb, name in names.items()}
    return {}
