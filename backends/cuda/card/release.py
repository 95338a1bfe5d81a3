"""Machine code that gives an exported array back: what DLPack's consumers call when they are done,
at any time and from any thread.

Python cannot do it itself: they may call while an exception is on its way, which a callback written
in Python would lose.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

from ...code_cache import default_cache
from ...llvm.machine.jit import Library, compile_objects
from ...llvm.machine.machine import Machine

_PYTHON = (
    "Py_IsInitialized", "PyGILState_Ensure", "PyGILState_Release", "PyErr_Fetch", "PyErr_Restore",
    "Py_DecRef", "PyCapsule_IsValid", "PyCapsule_GetPointer",
)  # fmt: skip

# The owner's place is that of `manager_ctx` in DLManagedTensor and in DLManagedTensorVersioned.
_TEXT = """
declare i32 @Py_IsInitialized()
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare void @PyErr_Fetch(ptr, ptr, ptr)
declare void @PyErr_Restore(ptr, ptr, ptr)
declare void @Py_DecRef(ptr)
declare i32 @PyCapsule_IsValid(ptr, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)

@plain = private constant [9 x i8] c"dltensor\\00"
@versioned = private constant [19 x i8] c"dltensor_versioned\\00"

define void @ml_release(ptr %tensor) {
  %place = getelementptr i8, ptr %tensor, i64 48
  call void @give_back(ptr %place)
  ret void
}

define void @ml_release_versioned(ptr %tensor) {
  %place = getelementptr i8, ptr %tensor, i64 8
  call void @give_back(ptr %place)
  ret void
}

define void @ml_end_capsule(ptr %capsule) {
  %is.plain = call i32 @PyCapsule_IsValid(ptr %capsule, ptr @plain)
  %unused = icmp ne i32 %is.plain, 0
  br i1 %unused, label %end.plain, label %other
end.plain:
  %tensor = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr @plain)
  call void @ml_release(ptr %tensor)
  ret void
other:
  %is.versioned = call i32 @PyCapsule_IsValid(ptr %capsule, ptr @versioned)
  %unused.too = icmp ne i32 %is.versioned, 0
  br i1 %unused.too, label %end.versioned, label %used
end.versioned:
  %tensor.too = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr @versioned)
  call void @ml_release_versioned(ptr %tensor.too)
  ret void
used:
  ret void
}

define private void @give_back(ptr %place) {
  %kind = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
  %alive = call i32 @Py_IsInitialized()
  %ended = icmp eq i32 %alive, 0
  br i1 %ended, label %done, label %lock
lock:
  %state = call i32 @PyGILState_Ensure()
  call void @PyErr_Fetch(ptr %kind, ptr %value, ptr %trace)
  %owner = load ptr, ptr %place
  call void @Py_DecRef(ptr %owner)
  %kept.kind = load ptr, ptr %kind
  %kept.value = load ptr, ptr %value
  %kept.trace = load ptr, ptr %trace
  call void @PyErr_Restore(ptr %kept.kind, ptr %kept.value, ptr %kept.trace)
  call void @PyGILState_Release(i32 %state)
  br label %done
done:
  ret void
}
"""


@dataclass(frozen=True)
class Releases:
    """The addresses of the functions: deleters of both kinds of tensors, and what ends a capsule
    that nobody has used."""

    library: Library
    plain: int
    versioned: int
    capsule: int


@cache
def releases() -> Releases:
    """The functions, compiled once in a process and never unloaded."""
    machine = Machine.host()
    code = compile_objects([_TEXT], machine, cache=default_cache(), workers=1)
    symbols = {
        name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
        for name in _PYTHON
    }
    exports = ("ml_release", "ml_release_versioned", "ml_end_capsule")
    library = Library(code, exports=exports, symbols=symbols)
    return Releases(library, *(library.address(name) for name in exports))
