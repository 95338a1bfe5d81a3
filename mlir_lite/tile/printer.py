"""Kernels and programs as text; `parser.py` reads every text back.

    kernel @scale(%x: f32[64], %y: out f32[64]) {
      buffer t: shared f32[16]
      parallel i.o in 0..4 {
        for i.i in 0..16 {
          t[i.i] = x[i.o * 16 + i.i] * 2.0
        }
        call @store(t[0], y[i.o * 16]; 16)
      }
    }
"""

from __future__ import annotations

from dataclasses import fields

from ..errors import VerifyError
from ..expr import INDEX
from ..expr.printer import ExprPrinter, name_of
from ..location import UNKNOWN
from ..text import Writer, location_text, name_text, quote
from ..types import DType, bool_
from .nodes import (
    Accumulate,
    Async,
    Await,
    Block,
    Buffer,
    Call,
    Extern,
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
)
from .program import CallStep, IfStep, LoopStep, Memory, Program, Slot, Step, View, WhileStep

# Combiners with a sign; the others are written `max=`, `argmax=`, ….
SIGNS = {"sum": "+=", "prod": "*="}


def print_kernel(kernel: Kernel) -> str:
    """The kernel's text."""
    writer = Writer()
    _kernel(kernel, writer)
    return writer.text()


def print_program(program: Program) -> str:
    """The program's text: slots, kernels, steps, faults and the memory plan."""
    writer = Writer()
    params = ", ".join(name_text(name, "%") for name in program.params)
    results = ", ".join(name_text(name, "%") for name in program.results)
    writer.end(f"program {name_text(program.name, '@')}({params}) -> ({results}) {{")
    with writer.indented():
        for slot in program.slots:
            writer.end(_slot(slot))
        for kernel in program.kernels:
            _kernel(kernel, writer)
        _steps(program.steps, writer)
        for status, fault in program.faults.items():
            writer.end(
                f"fault {status}: {quote(fault.message)} {location_text(fault.location)}"
            )
        if program.memory is not None:
            _memory(program.memory, writer)
    writer.end("}")
    return writer.text()


def _slot(slot: Slot) -> str:
    place = "" if slot.offset is None else f" at {slot.offset}"
    if slot.donor is not None:
        place = f" in {name_text(slot.donor, '%')}"
    return f"{slot.role} {name_text(slot.name, '%')}: {slot.type}{place}"


def _steps(steps: tuple[Step, ...], writer: Writer) -> None:
    for step in steps:
        match step:
            case CallStep():
                args = ", ".join(map(_view, step.args))
                label = f" {quote(step.label)}" if step.label else ""
                label = " alternating" * step.alternating + label
                writer.end(f"call {name_text(step.kernel, '@')}({args}){label}{_at(step)}")
            case LoopStep():
                writer.end(f"loop {name_text(step.name)} in 0..{step.count}{_at(step)} {{")
                _block(step.body, writer)
                writer.end("}")
            case WhileStep():
                limit = "" if step.limit is None else f" limit {step.limit} fault {step.fault}"
                writer.end(f"while {_view(step.condition)}{limit}{_at(step)} {{")
                _block(step.test, writer)
                writer.end("} do {")
                _block(step.body, writer)
                writer.end("}")
            case IfStep():
                writer.end(f"if {_view(step.condition)}{_at(step)} {{")
                _block(step.then, writer)
                writer.end("} else {")
                _block(step.otherwise, writer)
                writer.end("}")


def _block(steps: tuple[Step, ...], writer: Writer) -> None:
    with writer.indented():
        _steps(steps, writer)


def _at(step: Step) -> str:
    return "" if step.location == UNKNOWN else f" {location_text(step.location)}"


def _view(view: View) -> str:
    moved = f" + {view.offset}" if view.offset else ""
    turns = "".join(f" + {stride} * {name_text(loop)}" for loop, stride in view.strides)
    return name_text(view.slot, "%") + moved + turns


def _memory(memory: Memory, writer: Writer) -> None:
    writer.end("memory {")
    with writer.indented():
        for entry in fields(memory):
            writer.end(f"{entry.name} = {_figure(getattr(memory, entry.name))}")
    writer.end("}")


def _figure(value: int | str | tuple[str, ...]) -> str:
    match value:
        case int():
            return str(value)
        case str():
            return quote(value)
    return f"[{', '.join(map(quote, value))}]"


def _kernel(kernel: Kernel, writer: Writer) -> None:
    types: dict[str, DType] = {buffer.name: buffer.dtype for buffer in kernel.buffers.values()}
    expressions = ExprPrinter(types)
    params = ", ".join(
        f"{name_text(buffer.name, '%')}: {_buffer(buffer, buffer.name in kernel.outputs)}"
        for buffer in kernel.params
    )
    written = tuple(buffer.name for buffer in kernel.params if buffer.name in kernel.outputs)
    order = "" if written == kernel.outputs else f" outputs({_names(kernel.outputs)})"
    writer.end(f"kernel {name_text(kernel.name, '@')}({params}){order} {{")
    with writer.indented():
        for proc in kernel.procs:
            _proc(proc, writer)
        for extern in kernel.externs:
            writer.end(_extern(extern))
        _Body(writer, expressions, types).all(kernel.locals, kernel.body)
    writer.end("}")


def _proc(proc: Proc, writer: Writer) -> None:
    types = {buffer.name: buffer.dtype for buffer in (*proc.params, *proc.locals)}
    params = ", ".join(
        f"{name_text(buffer.name, '%')}: {_buffer(buffer)}" for buffer in proc.params
    )
    scalars = f"; {_names(proc.scalars)}" if proc.scalars else ""
    writer.end(f"proc {name_text(proc.name, '@')}({params}{scalars}) {{")
    with writer.indented():
        _Body(writer, ExprPrinter(types), types).all(proc.locals, proc.body)
    writer.end("}")


def _extern(extern: Extern) -> str:
    """`extern @factor = dpotrf("U", 3, inout %a: f64[3, 3], 3, out %info: i32[1]) 9`."""

    def argument(entry: str | int | Buffer) -> str:
        match entry:
            case str():
                return quote(entry)
            case int():
                return str(entry)
        modes = {(True, False): "in", (False, True): "out", (True, True): "inout"}
        mode = modes[entry.name in extern.reads, entry.name in extern.writes]
        return f"{mode} {name_text(entry.name, '%')}: {_buffer(entry)}"

    given = ", ".join(map(argument, extern.arguments))
    name = name_text(extern.name, "@")
    return f"extern {name} = {name_of(extern.routine)}({given}) {extern.operations}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(name_of, names))


def _sizes(sizes: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _buffer(buffer: Buffer, written: bool = False) -> str:
    out = "out " if written else ""
    space = "" if buffer.space == Space.GLOBAL else f"{buffer.space} "
    aligned = f"align({buffer.alignment}) " if buffer.alignment else ""
    layout = f" {_layout(buffer.layout)}" if buffer.layout else ""
    return f"{out}{space}{aligned}{buffer.dtype}{_sizes(buffer.shape)}{layout}"


def _layout(layout: Layout) -> str:
    indices = ExprPrinter({}).joined(layout.indices, INDEX)
    return f"layout({_names(layout.axes)}) -> [{indices}] of {_sizes(layout.shape)}"


class _Body:
    """Prints blocks; `types` learns the names bound by `Let` in the order of the text."""

    def __init__(
        self, writer: Writer, expressions: ExprPrinter, types: dict[str, DType]
    ) -> None:
        self._writer = writer
        self._expressions = expressions
        self._types = types

    def all(self, locals_: tuple[Buffer, ...], body: Block) -> None:
        for buffer in locals_:
            self._writer.end(f"buffer {name_of(buffer.name)}: {_buffer(buffer)}")
        for stmt in body:
            self._statement(stmt)

    def _block(self, head: str, body: Block, tail: str = "}") -> None:
        self._writer.end(head + " {")
        with self._writer.indented():
            for stmt in body:
                self._statement(stmt)
        self._writer.write(tail)

    def _statement(self, stmt: Stmt) -> None:
        text = self._expressions.text
        match stmt:
            case Loop(axis=axis, start=start, stop=stop, body=body, kind=kind):
                word = "for" if kind == Kind.SERIAL else str(kind)
                limits = f"{text(start, INDEX)}..{text(stop, INDEX)}"
                self._block(f"{word} {name_of(axis)} in {limits}", body)
            case If(condition=condition, then=then, otherwise=otherwise):
                self._block(f"if {text(condition, bool_)}", then)
                if otherwise:
                    self._block(" else", otherwise)
            case Async(group=group, body=body):
                self._block(f"async {name_of(group)}", body)
            case Let(name=name, value=value):
                self._writer.write(f"let {name_of(name)} = {text(value)}")
                self._types[name] = value.dtype
            case Store(target=target, value=value, nontemporal=nontemporal):
                word = "nontemporal " if nontemporal else ""
                place = self._ref(target)
                self._writer.write(f"{word}{place} = {text(value, self._type(target))}")
            case Accumulate():
                self._writer.write(self._accumulate(stmt))
            case Call(callee=callee, windows=windows, scalars=scalars):
                given = ", ".join(
                    self._expressions.at(window.buffer, window.offsets) for window in windows
                )
                rest = f"; {self._expressions.joined(scalars, INDEX)}" if scalars else ""
                self._writer.write(f"call {name_text(callee, '@')}({given}{rest})")
            case Sync(scope=scope):
                self._writer.write(f"sync {name_of(scope)}")
            case Wait(group=group, pending=pending):
                self._writer.write(f"wait {name_of(group)}, {pending}")
            case Await(barrier=barrier, parity=parity):
                self._writer.write(f"await {self._ref(barrier)}, {text(parity, INDEX)}")
            case _:
                raise VerifyError(f"no text for a statement of class {type(stmt).__name__}")
        self._writer.end()

    def _accumulate(self, stmt: Accumulate) -> str:
        targets = ", ".join(map(self._ref, stmt.targets))
        sign = SIGNS.get(stmt.combiner, f"{stmt.combiner}=")
        values = ", ".join(
            self._expressions.text(value, self._type(target))
            for value, target in zip(stmt.values, stmt.targets, strict=True)
        )
        return f"{targets} {sign} {values}"

    def _ref(self, target: Ref) -> str:
        return self._expressions.at(target.buffer, target.indices)

    def _type(self, target: Ref) -> DType | None:
        return self._types.get(target.buffer)
