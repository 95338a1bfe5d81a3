"""Where LAPACK's and BLAS's routines lie in this process: SciPy gives C pointers to its own.

They are looked up whenever code is linked, so that code kept on disk holds names, no addresses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache

from ....errors import PassError, check, missing_extra
from .blas_threads import ENTER, LEAVE, blas_threads


def symbol_of(routine: str) -> str:
    """The name that compiled code calls a routine by."""
    return f"ml_{routine}"


def routine_symbols(routines: Iterable[str]) -> dict[str, int]:
    """The addresses of routines, by symbol, and of what is called around them; of none, nothing.

    `MissingExtraError` where SciPy is not installed.
    """
    found = {symbol_of(routine): _address(routine) for routine in routines}
    if found:
        from scipy.linalg import cython_lapack

        threads = blas_threads(str(cython_lapack.__file__))
        found |= {name: threads.address(name) for name in (ENTER, LEAVE)}
    return found


@cache
def _address(routine: str) -> int:
    try:
        from scipy.linalg import cython_blas, cython_lapack
    except ImportError as error:
        raise missing_extra("scipy", "linalg") from error
    for module in (cython_lapack, cython_blas):
        capsule = module.__pyx_capi__.get(routine)
        if capsule is not None:
            return _pointer(capsule)
    raise PassError(f"SciPy has no routine '{routine}'")


def _pointer(capsule: object) -> int:
    """The C pointer in a capsule, whose name is the function's C signature."""
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer_of(capsule, name_of(capsule))
    check(address, "SciPy gives no pointer for a routine", PassError)
    return int(address or 0)
