"""The vector mathematics, compiled for several CPUs and compared with extended precision."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
import pytest
from mlir_lite.backends.llvm import fit_polynomials
from mlir_lite.backends.llvm.math import MATH_FUNCTIONS, emit_math
from mlir_lite.backends.llvm.math_tables import POLYNOMIALS
from mlir_lite.backends.llvm.text_builder import FloatType, LlvmText, constant
from mlir_lite.errors import TypeRuleError

Array = npt.NDArray[np.floating]
BINARY = ("atan2", "pow")
UNARY = tuple(sorted(MATH_FUNCTIONS.difference(BINARY)))
NUMPY_TYPE = {"f32": np.float32, "f64": np.float64}


@dataclass(frozen=True)
class Variant:
    """What the functions are emitted and compiled for."""

    dtype: FloatType
    width: int
    cpu: str = "host"

    @property
    def fma(self) -> bool:
        return self.cpu != "x86-64"


HOST = (Variant("f32", 16), Variant("f64", 8))
OTHERS = (
    *(Variant("f32", width) for width in (1, 4, 8)),
    *(Variant("f64", width) for width in (1, 2, 4)),
    Variant("f32", 8, "haswell"),
    Variant("f64", 4, "haswell"),
    Variant("f32", 4, "x86-64"),
    Variant("f64", 2, "x86-64"),
)


def loop_text(function: str, variant: Variant, declarations: set[str]) -> str:
    """void function(x, y, result, n): the function over n elements, n a multiple of the width."""
    out = LlvmText(fma=variant.fma)
    element = "float" if variant.dtype == "f32" else "double"
    kind = element if variant.width == 1 else f"<{variant.width} x {element}>"
    args = ["%x", "%y"] if function in BINARY else ["%x"]
    result = emit_math(out, function, args, variant.dtype, variant.width)
    declarations |= out.declarations
    body = "\n  ".join(out.lines)
    return f"""
define void @{function}(ptr %xs, ptr %ys, ptr %results, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %xp = getelementptr {element}, ptr %xs, i64 %i
  %yp = getelementptr {element}, ptr %ys, i64 %i
  %rp = getelementptr {element}, ptr %results, i64 %i
  %x = load {kind}, ptr %xp, align 4
  %y = load {kind}, ptr %yp, align 4
  {body}
  store {kind} {result}, ptr %rp, align 4
  %next = add i64 %i, {variant.width}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %exit
exit:
  ret void
}}"""


def target_machine(cpu: str) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    if cpu == "host":
        features = llvm.get_host_cpu_features().flatten()
        return target.create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
        )
    return target.create_target_machine(cpu=cpu, opt=2, jit=True)


def module_text(variant: Variant) -> str:
    declarations: set[str] = set()
    functions = [loop_text(f, variant, declarations) for f in sorted(MATH_FUNCTIONS)]
    attributes = 'attributes #0 = { nounwind "prefer-vector-width"="512" }'
    text = "\n".join([*sorted(declarations), *functions, attributes])
    return text.replace("i64 %n) {", "i64 %n) #0 {")


@cache
def compiled(variant: Variant) -> llvm.ResourceTracker:
    """The functions of a variant; the tracker keeps the code alive."""
    machine = target_machine(variant.cpu)
    jit = llvm.create_lljit_compiler(machine)
    builder = llvm.JITLibraryBuilder().add_ir(module_text(variant))
    for function in MATH_FUNCTIONS:
        builder = builder.export_symbol(function)
    return builder.link(jit, "mathematics")


def evaluate(variant: Variant, function: str, x: Array, y: Array | None = None) -> Array:
    dtype = NUMPY_TYPE[variant.dtype]
    padding = (0, -len(x) % variant.width)
    xs = np.pad(x.astype(dtype), padding)
    ys = np.pad(x.astype(dtype) if y is None else y.astype(dtype), padding)
    results = np.empty_like(xs)
    address = compiled(variant)[function]
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    signature(address)(xs.ctypes.data, ys.ctypes.data, results.ctypes.data, len(xs))
    return results[: len(x)]
