"""Wide accesses are at multiples of their size, and a kernel's caller sees to its parameters'."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.expr import Expr, apply, index, select
from mlir_lite.tile.analyses.alignment import divisor
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.nodes import Buffer, Call, Kernel, Kind, Let, Space, Window
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.program import CallStep, LoopStep, Program, Role, Slot, View
from mlir_lite.types import TensorType, f32

from ..building import ld, loop, st, v

i = v("i")
DIVISORS: tuple[tuple[Expr, int], ...] = (
    (index(12), 12),
    (index(0), 0),
    (i, 1),
    (v("eights"), 8),
    (i * 12 + 8, 4),
    (i * 12 - v("eights"), 4),
    (i % 5 * 4, 4),
    (v("eights") % 12, 4),
    (v("eights") // 2, 4),
    (v("eights") // 3, 1),
    (apply("xor", v("eights"), i * 12), 4),
    (select(i < 3, v("eights"), i * 6), 2),
    (apply("min", v("eights"), index(20)), 4),
)


@pytest.mark.parametrize(("expr", "expected"), DIVISORS, ids=lambda value: str(value))
def test_divisors_of_indices(expr: Expr, expected: int) -> None:
    assert divisor(expr, {"eights": 8}) == expected


def copy(first: Expr, *, alignment: int = 16, row: int = 8) -> Kernel:
    """Copies four elements of `x` into shared memory, from `first` of a row on."""
    call = Call("copy_f32x4", (Window("s", (i * 4,)), Window("x", (i, v("at")))), (index(4),))
    params = (Buffer("x", f32, (4, row), alignment=alignment), Buffer("y", f32, (4,)))
    body = (
        loop("i", 4, Let("at", first), call, kind=Kind.UNROLL),
        loop("j", 4, st("y", (v("j"),), ld("s", v("j")))),
    )
    return Kernel("copied", params, ("y",), body, (Buffer("s", f32, (16,), Space.SHARED),))


def test_a_wide_copy_from_a_multiple_of_its_size() -> None:
    verify_kernel(copy(i % 2 * 4))


WRONG = (
    (copy(i % 2 * 2), "'x' is there at one of 8"),
    (copy(i % 2), "'x' is there at one of 4"),
    (copy(index(0), row=9), "'x' is there at one of 4"),
    (copy(index(4), alignment=8), "'x' is there at one of 8"),
    (copy(index(4), alignment=0), "'x' is there at one of 4"),
)


@pytest.mark.parametrize(("kernel", "message"), WRONG)
def test_a_wide_copy_elsewhere_is_an_error(kernel: Kernel, message: str) -> None:
    with pytest.raises(VerifyError, match=f"'copy_f32x4' needs a multiple of 16 bytes, {message}"):
        verify_kernel(kernel)


def test_alignments_print_and_parse() -> None:
    kernel = copy(index(0))
    assert "%x: align(16) f32[4, 8]" in str(kernel)
    assert parse_kernel(str(kernel)) == kernel


def program(offset: int, stride: int) -> Program:
    """Reads four elements of 32 from an offset on, further by a stride in each of two turns."""
    read, written = Buffer("x", f32, (4,), alignment=16), Buffer("y", f32, (4,))
    kernel = Kernel("one", (read, written), ("y",), (loop("i", 4, st("y", (i,), ld("x", i))),))
    slots = (
        Slot("x", TensorType((32,), f32), Role.PARAMETER),
        Slot("y", TensorType((4,), f32), Role.RESULT),
    )
    call = CallStep("one", (View("x", offset, (("turn", stride),)), View("y")))
    return Program("p", (kernel,), slots, (LoopStep("turn", 2, (call,)),), ("x",), ("y",))


def test_views_are_aligned_as_the_kernel_asks() -> None:
    verify_program(program(4, 8))
    with pytest.raises(VerifyError, match="'x' lies at byte 8 of 'x': no multiple of 16"):
        verify_program(program(2, 8))
    with pytest.raises(VerifyError, match="'x' lies at byte 24 of 'x': no multiple of 16"):
        verify_program(program(4, 2))
    kernel = program(2, 2).kernel("one")
    anywhere = replace(kernel, params=tuple(replace(p, alignment=0) for p in kernel.params))
    verify_program(replace(program(2, 2), kernels=(anywhere,)))
