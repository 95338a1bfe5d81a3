"""Entries of small bodies, and what goes into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlir_lite.backends.arrays import ArraySpec
from mlir_lite.backends.llvm.entry.entry import Entry
from mlir_lite.backends.llvm.entry.numpy_header import ArrayHeader, array_header
from mlir_lite.backends.llvm.entry.python_call import python_symbols
from mlir_lite.backends.llvm.entry.text import entry_exports, entry_text
from mlir_lite.backends.llvm.machine.jit import Library, compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.program.state import State
from mlir_lite.errors import RunError
from mlir_lite.types import Array, f32

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
    texts = [entry_text(parameters, results, "body", header, Machine.host()), body]
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


def numbers(shape: tuple[int, ...] = (3, 5), dtype: type = np.float32) -> Array:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)
