"""Kernels and programs print, and their texts read back to equal ones."""

from __future__ import annotations

import math
from textwrap import dedent

import pytest

from mlir_lite.errors import ParseError
from mlir_lite.expr import INDEX, Cast, Load, Var, apply, boolean, const, index
from mlir_lite.location import UNKNOWN, Location
from mlir_lite.tile.nodes import (
    Accumulate,
    Async,
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Layout,
    Let,
    Loop,
    Proc,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
    Wait,
    Window,
)
from mlir_lite.tile.parser import parse_kernel, parse_program
from mlir_lite.tile.printer import print_kernel, print_program
from mlir_lite.tile.program import CallStep, Fault, Memory, Program, Role, Slot, View
from mlir_lite.types import bool_, f16, f32, f64, i32, i64, u8


def loop(axis: str, stop: int, *body: Stmt, kind: Kind = Kind.SERIAL) -> Loop:
    return Loop(axis, index(0), index(stop), body, kind)


def relu() -> Kernel:
    at = (Var(INDEX, "i.o") * 16 + Var(INDEX, "i.i"),)
    store = Store(Ref("y", at), apply("max", Load(f32, "x", at), const(0, f32)))
    inner = loop("i.i", 16, store, kind=Kind.VECTOR)
    body = (loop("i.o", 64, inner, kind=Kind.PARALLEL),)
    return Kernel("relu", (Buffer("x", f32, (1024,)), Buffer("y", f32, (1024,))), ("y",), body)


def everything() -> Kernel:
    """A kernel with every statement and every kind of buffer."""
    i, j = Var(INDEX, "i"), Var(INDEX, "j")
    transposed = Layout(("a", "b"), (Var(INDEX, "b"), Var(INDEX, "a") * 2), (8, 8))
    x = Load(f32, "x/0", (i, j))
    proc_body: Block = (Store(Ref("p", (i,)), Load(f32, "acc", ()) * Cast(f32, Var(INDEX, "m"))),)
    proc = Proc(
        "micro.1", (Buffer("p", f32, (4,)),), ("m", "n"), proc_body, (Buffer("acc", f32, ()),)
    )
    body: Block = (
        Loop("i", index(0), apply("min", index(4), Var(INDEX, "m")), (
            Loop("j", i, i + 4, (
                Let("half", x * 0.5),
                Let("k", Cast(i32, x)),
                Let("one", const(1, f16)),
                If(i < 3, (Store(Ref("y", (i, j)), Var(f32, "half")),), (
                    If((j < 2) & boolean(True), (), (Sync("block"),)),
                )),
                Accumulate("sum", (Ref("y", (i, j)),), (const(1, f32),)),
                Accumulate("prod", (Ref("t", (j,)),), (Cast(f64, Var(i32, "k")),)),
                Accumulate("max", (Ref("t", (j,)),), (const(-math.inf, f64),)),
                Accumulate(
                    "argmax", (Ref("t", (j,)), Ref("pos", (index(0),))), (Cast(f64, x), i)
                ),
                Call("micro.1", (Window("y", (i, index(0))),), (j, index(3))),
                Call("no args", ()),
            ), Kind.UNROLL),
        )),
        Async("in", (Store(Ref("flag", ()), boolean(False), nontemporal=True),)),
        Wait("in", 1),
        *(loop(f"l{number}", 2, kind=kind) for number, kind in enumerate(Kind)),
    )  # fmt: skip
    params = (
        Buffer("x/0", f32, (4, 8), layout=transposed),
        Buffer("y", f32, (4, 8)),
        Buffer("m", u8, ()),
        Buffer("flag", bool_, ()),
    )
    locals_ = (Buffer("t", f64, (8,), Space.SHARED), Buffer("pos", i64, (1,), Space.REGISTER))
    return Kernel("all of it", params, ("flag", "y"), body, locals_, (proc,))


def test_a_kernel_reads_as_its_documentation_says() -> None:
    assert print_kernel(relu()) == dedent("""\
        kernel @relu(%x: f32[1024], %y: out f32[1024]) {
          parallel i.o in 0..64 {
            vector i.i in 0..16 {
              y[i.o * 16 + i.i] = max(x[i.o * 16 + i.i], 0.0)
            }
          }
        }
        """)


def test_every_statement_has_its_text() -> None:
    assert print_kernel(everything()).splitlines()[:32] == dedent("""\
        kernel @"all of it"(%"x/0": f32[4, 8] layout(a, b) -> [b, a * 2] of [8, 8], %y: out f32[4, 8], %m: u8[], %flag: out bool[]) outputs(flag, y) {
          proc @micro.1(%p: f32[4]; m, n) {
            buffer acc: f32[]
            p[i] = acc[] * f32(m)
          }
          buffer t: shared f64[8]
          buffer pos: register i64[1]
          for i in 0..min(4, m:i64) {
            unroll j in i..i + 4 {
              let half = "x/0"[i, j] * 0.5
              let k = i32("x/0"[i, j])
              let one = 1.0:f16
              if i < 3 {
                y[i, j] = half
              } else {
                if j < 2 {
                } else {
                  sync "block"
                }
              }
              y[i, j] += 1.0
              t[j] *= f64(k)
              t[j] max= -inf
              t[j], pos[0] argmax= f64("x/0"[i, j]), i
              call @micro.1(y[i, 0]; j, 3)
              call @"no args"()
            }
          }
          async "in" {
            nontemporal flag[] = false
          }
          wait "in", 1""").splitlines()  # noqa: E501


@pytest.mark.parametrize("kernel", [relu(), everything()], ids=["relu", "everything"])
def test_a_kernel_reads_back(kernel: Kernel) -> None:
    text = print_kernel(kernel)
    assert parse_kernel(text) == kernel
    assert print_kernel(parse_kernel(text)) == text


def program() -> Program:
    slots = (
        Slot("input:0", f32[1024], Role.PARAMETER),
        Slot("t", f32[32, 64], Role.ARENA, 4096),
        Slot("w", f32[1024], Role.CONSTANT),
        Slot("out", f32[1024], Role.RESULT),
    )
    steps = (
        CallStep("relu", (View("input:0"), View("t", 1024)), Location("/a/f.py", 6), 'relu + "x"'),
        CallStep("relu", (View("t", 1024), View("out"))),
    )  # fmt: skip
    faults = {1: Fault("index out of range", Location("f.py", 7)), 2: Fault("b", UNKNOWN)}
    memory = Memory(8192, 4096, 9000, 10000, "best of 3", ("t", "a b"))
    return Program(
        "net", (relu(), everything()), slots, steps, ("input:0",), ("out",), faults, memory
    )  # fmt: skip


def test_a_program_reads_back() -> None:
    text = print_program(program())
    assert parse_program(text) == program()
    assert print_program(parse_program(text)) == text
    assert '  arena %t: tensor<32x64xf32> at 4096\n' in text
    assert '  call @relu(%"input:0", %t + 1024) "relu + \\"x\\"" loc("/a/f.py":6)\n' in text


FAULTS = {
    ("max(", "maxx("): "there is no function 'maxx'; did you mean 'max'?",
    ("0.0", "true"): "'max' of types that do not fit: f32, bool",
    ("max(x[i.o * 16 + i.i], 0.0)", "max(0.0, 1.0)"): "the type of this number is not known",
    ("0.0)", "0.0, 1.0)"): "'max' takes 2 arguments, got 3",
    (" y[", " z["): "there is no buffer 'z'",
    ("(x[", "(z["): "there is no buffer 'z'",
    ("0..64", "0..6.5"): "a number of type i64 is expected",
    ("0..64", "0..99999999999999999999"): "out of the range of i64",
    ("0..64", "0..999999999999999999999999"): "too large",
    ("%y: out f32", "%y: out f23"): "there is no element type 'f23'; did you mean 'f32'?",
    ("%y:", "%x:"): "there are two buffers 'x'",
    ("] = ", "] maxx= "): "there is no combiner 'maxx'; did you mean 'max' or 'argmax'?",
    ("] = ", "], y[0] = "): "only a combiner writes several elements",
    ("vector i.i in", "vector i.i"): "expected 'in', got '0'",
    ("parallel", "paralel"): "expected '[', got 'i.o'",
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FAULTS.items())
def test_a_fault_is_an_error_with_its_place(change: tuple[str, str], message: str) -> None:
    text = print_kernel(relu())
    assert change[0] in text
    with pytest.raises(ParseError) as caught:
        parse_kernel(text.replace(*change, 1), "k.tile")
    assert str(caught.value).startswith("k.tile:") and message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("call @relu", "call @rleu"), "there is no kernel 'rleu'; did you mean 'relu'?"),
        (('(%"input:0", %t + 1024)', "(%t)"), "@relu takes 2 buffers, got 1"),
        (('call @relu(%"input:0"', "call @relu(%inptu"), "there is no buffer 'inptu'"),
        (("arena %t", "arena %w"), "%w is defined twice"),
        (("arena_bytes = 8192", 'arena_bytes = "x"'), "expected an integer"),
    ],
)
def test_a_fault_in_a_program_is_an_error(change: tuple[str, str], message: str) -> None:
    text = print_program(program())
    assert change[0] in text
    with pytest.raises(ParseError) as caught:
        parse_program(text.replace(*change))
    assert message in str(caught.value)


def test_a_text_cut_off_anywhere_is_a_parse_error() -> None:
    text = print_program(program()).rstrip()
    for end in range(0, len(text), 5):
        with pytest.raises(ParseError):
            parse_program(text[:end])


def test_deep_blocks_are_a_parse_error() -> None:
    text = "kernel @f() {" + "if true {" * 5000
    with pytest.raises(ParseError, match="nested more than"):
        parse_kernel(text)
