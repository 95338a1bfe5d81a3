"""What compiled code finds behind its `%state` pointer, for Python and for LLVM."""

from __future__ import annotations

import ctypes


class State(ctypes.Structure):
    """The structure; `STATE_TYPE` is the same for LLVM."""

    arena: int | None  # the executable's scratch memory
    pool: int | None  # the thread pool, null for one thread
    constants: int | None  # pointers to the constants
    status: int | None  # an i64 that a kernel sets to other than 0 on a fault of the data
    types: int | None  # numpy.ndarray, then the dtype object of every parameter and result

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("arena", "pool", "constants", "status", "types")
    )


STATE_TYPE = f"%ml_state = type {{ {', '.join('ptr' for _ in State._fields_)} }}"


def state_field(name: str, register: str) -> str:
    """Two instructions that load a field of `%state` into `%register`."""
    index = [field for field, *_ in State._fields_].index(name)
    return (
        f"  %{register}.at = getelementptr %ml_state, ptr %state, i32 0, i32 {index}\n"
        f"  %{register} = load ptr, ptr %{register}.at"
    )
