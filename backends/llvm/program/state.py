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
    poll: int | None  # i64 (ptr state): not 0 if the call is to end; null where none may end early
    polled: int | None  # what the counter said when `poll` last asked; 0 before that

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("arena", "pool", "constants", "status", "types", "poll", "polled")
    )


STATE_TYPE = f"%ml_state = type {{ {', '.join('ptr' for _ in State._fields_)} }}"


def state_place(name: str, register: str) -> str:
    """The instruction that gives the address of a field of `%state` as `%register.at`."""
    index = [field for field, *_ in State._fields_].index(name)
    return f"  %{register}.at = getelementptr %ml_state, ptr %state, i32 0, i32 {index}"


def state_field(name: str, register: str) -> str:
    """Two instructions that load a field of `%state` into `%register`."""
    return f"{state_place(name, register)}\n  %{register} = load ptr, ptr %{register}.at"
