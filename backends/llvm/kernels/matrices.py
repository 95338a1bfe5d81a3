"""Emission of the instructions on matrix registers (`tile/instructions/matrices`).

A stage tells the machine the shapes of its matrices once, before anything else, and forgets them at
its end; the registers are numbered in the order in which the kernel declares its matrices.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

from ....errors import VerifyError
from ....expr import Expr, Load, index, loads_of, substitute_vars
from ....memory import ALIGNMENT
from ....tile.instructions.matrices import matrix_procs
from ....tile.nodes import Accumulate, Kernel, Loop, Proc, Space, Stmt, Store
from ....tile.tree import chain
from ..machine.machine import Machine
from ..text.scopes import ScopedText
from .expr import Evaluator
from .frame import Frame

# LLVM's names of what the machine must have, and of the instructions.
FEATURES: Mapping[str, str] = {"tdpbf16ps": "amx-bf16", "tdpbusd": "amx-int8"}
ON_MATRICES = frozenset(proc.name for proc, _ in matrix_procs())
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18
_PALETTE = 1  # the only one there is


@dataclass(frozen=True)
class Matrices:
    """A kernel's matrices, each with the number of its first register."""

    numbers: Mapping[str, int]
    shapes: Sequence[tuple[int, int]]  # rows and bytes of a row, by register

    @staticmethod
    def of(kernel: Kernel, used: Collection[str]) -> Matrices:
        """Registers for the matrices of a kernel that are used."""
        numbers: dict[str, int] = {}
        shapes: list[tuple[int, int]] = []
        for local in kernel.locals:
            if local.space is Space.MATRIX and local.name in used:
                numbers[local.name] = len(shapes)
                rows, columns = local.shape[-2:]
                shapes += [(rows, columns * local.dtype.bytes)] * prod(local.shape[:-2])
        return Matrices(numbers, shapes)

    def begin(self, out: ScopedText) -> None:
        """Tell the machine the shapes (Intel SDM, LDTILECFG)."""
        if not self.shapes:
            return
        columns = [0] * 32
        rows = [0] * 16
        for register, (height, width) in enumerate(self.shapes):
            columns[2 * register : 2 * register + 2] = divmod(width, 256)[::-1]
            rows[register] = height
        fields = [_PALETTE, *[0] * 15, *columns, *rows]
        text = ", ".join(f"i8 {field}" for field in fields)
        place = out.define_anew(f"alloca <64 x i8>, align {ALIGNMENT}")
        out.line(f"store <64 x i8> <{text}>, ptr {place}, align {ALIGNMENT}")
        out.declare("declare void @llvm.x86.ldtilecfg(ptr)")
        out.line(f"call void @llvm.x86.ldtilecfg(ptr {place})")

    def end(self, out: ScopedText) -> None:
        """Forget the registers: nobody need keep them when threads change."""
        if self.shapes:
            out.declare("declare void @llvm.x86.tilerelease()")
            out.line("call void @llvm.x86.tilerelease()")

    def emit(self, callee: Proc, evaluator: Evaluator) -> None:
        """The instruction that does what `callee` says, on the windows at hand."""
        loops, stmt = _nested(callee)
        frame, out = evaluator.frame, evaluator.frame.out
        last = {loop.axis: index(frame.constant(loop.stop, "an extent") - 1) for loop in loops}
        match stmt:
            case Accumulate(targets=(target,), values=values):
                loads = (load for value in values for load in loads_of(value))
                places = [(load.buffer, load.indices) for load in loads]
                places.insert(0, (target.buffer, target.indices))
                registers = (self._register(name, at, last, frame) for name, at in places)
                operands = ", ".join(f"i8 {register}" for register in registers)
                out.declare(f"declare void @llvm.x86.{callee.name}(i8, i8, i8)")
                out.line(f"call void @llvm.x86.{callee.name}({operands})")
            case Store(target=target, value=Load() as load):
                to, given = (target.buffer, target.indices), (load.buffer, load.indices)
                stores = frame.buffer_of(target.buffer).space is not Space.MATRIX
                name = f"llvm.x86.tile{'stored' if stores else 'loadd'}64"
                register = self._register(*(given if stores else to), last, frame)
                memory = _rows_in_memory(*(to if stores else given), loops, evaluator)
                out.declare(f"declare void @{name}(i8, ptr, i64)")
                out.line(f"call void @{name}(i8 {register}, {memory})")
                if stores:
                    evaluator.memory.touch(frame.buffer_of(target.buffer).name)
            case Store(target=target):
                register = self._register(target.buffer, target.indices, last, frame)
                out.declare("declare void @llvm.x86.tilezero(i8)")
                out.line(f"call void @llvm.x86.tilezero(i8 {register})")
            case _:
                raise VerifyError(f"'{callee.name}' is no instruction on matrices")

    def _register(
        self, name: str, at: Sequence[Expr], last: Mapping[str, Expr], frame: Frame
    ) -> int:
        """The register of a window; `VerifyError` unless all of it is used, as the machine does."""
        buffer, first = frame.located(name, (index(0), index(0)))
        ends = [frame.constant(substitute_vars(part, last), "an index") + 1 for part in at]
        shape = frame.buffers[buffer].shape
        if tuple(ends) != shape[-2:]:
            raise VerifyError(f"of the matrix '{buffer}', {shape[-2:]}, {tuple(ends)} is used")
        number = 0
        for extent, part in zip(shape[:-2], first[:-2], strict=True):
            number = number * extent + frame.constant(part, f"an index of the matrix '{buffer}'")
        return self.numbers[buffer] + number


def matrix_products(machine: Machine) -> frozenset[str]:
    """The products of matrices that this process may use on its machine."""
    features = frozenset(machine.features.split(","))
    found = {name for name, feature in FEATURES.items() if f"+{feature}" in features}
    return frozenset(found if found and ask_for_matrices() else ())


@cache
def ask_for_matrices() -> bool:
    """Whether the system lets this process use matrix registers: it keeps memory for them with
    each thread only if it is asked (Linux, Documentation/arch/x86/xstate.rst)."""
    if not sys.platform.startswith("linux"):
        return False
    system = ctypes.CDLL(None, use_errno=True)
    return bool(system.syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0)


def in_memory(kernel: Kernel) -> Kernel:
    """A kernel for a machine without such registers: its matrices are scratch memory."""
    moved = (
        replace(local, space=Space.SHARED) if local.space is Space.MATRIX else local
        for local in kernel.locals
    )
    return replace(kernel, locals=tuple(moved))


def _nested(callee: Proc) -> tuple[list[Loop], Stmt]:
    """The loops of an instruction, and what they do."""
    (outer,) = callee.body
    assert isinstance(outer, Loop)
    loops, (stmt,) = chain(outer)
    return loops, stmt


def _rows_in_memory(
    name: str, at: Sequence[Expr], loops: Sequence[Loop], evaluator: Evaluator
) -> str:
    """The address of a window's first element, and the bytes from one row of it to the next."""
    addresses, row = evaluator.memory.addresses, loops[0].axis
    zero = {loop.axis: index(0) for loop in loops}
    first, second = (
        addresses.access(name, tuple(substitute_vars(part, {**zero, row: number}) for part in at))
        for number in (index(0), index(1))
    )
    apart = second.offset.get(None, 0) - first.offset.get(None, 0)
    if {**first.offset, None: 0} != {**second.offset, None: 0}:
        raise VerifyError(f"the rows of a matrix in '{name}' are not equally far apart")
    return f"ptr {addresses.pointer(first)}, i64 {apart * first.buffer.dtype.bytes}"
