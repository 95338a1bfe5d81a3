"""Kernels and programs from their texts, as `printer.py` writes them.

Whatever does not fit is a `ParseError` with file, line and column. A program's text names its
buffers and kernels before the steps that use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..location import UNKNOWN
from ..text import Cursor, nearest
from ..type_parser import expect_tensor_type
from .kernel_parser import KernelParser, comma_list
from .nodes import Kernel
from .program import CallStep, Fault, Memory, Program, Role, Slot, View


def parse_kernel(text: str, file: str = "<text>") -> Kernel:
    """The kernel of a text."""
    cursor = Cursor(text, file)
    kernel = KernelParser(cursor).kernel()
    cursor.finish()
    return kernel


def parse_program(text: str, file: str = "<text>") -> Program:
    """The program of a text."""
    cursor = Cursor(text, file)
    program = _ProgramParser(cursor).program()
    cursor.finish()
    return program


class _ProgramParser:
    """Reads a program part by part."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._kernels: dict[str, Kernel] = {}
        self._slots: dict[str, Slot] = {}

    def program(self) -> Program:
        cursor = self._cursor
        cursor.expect("program")
        name = cursor.string(cursor.expect_kind("symbol", "a name, as @f"))
        params = comma_list(cursor, "(", ")", self._value)
        cursor.expect("->")
        results = comma_list(cursor, "(", ")", self._value)
        cursor.expect("{")
        while cursor.at(*Role):
            self._slot()
        while cursor.at("kernel"):
            self._kernel()
        steps: list[CallStep] = []
        while cursor.at("call"):
            steps.append(self._step())
        faults: dict[int, Fault] = {}
        while cursor.accept("fault"):
            status, fault = self._fault()
            faults[status] = fault
        memory = self._memory() if cursor.accept("memory") else None
        cursor.expect("}")
        kernels, slots = tuple(self._kernels.values()), tuple(self._slots.values())
        return Program(name, kernels, slots, tuple(steps), params, results, faults, memory)

    def _value(self) -> str:
        return self._cursor.string(self._cursor.expect_kind("value", "a buffer, as %x"))

    def _slot(self) -> None:
        cursor = self._cursor
        role = Role(cursor.advance().text)
        token = cursor.token
        name = self._value()
        if name in self._slots:
            raise cursor.error(f"{token.text} is defined twice", token)
        cursor.expect(":")
        type_ = expect_tensor_type(cursor)
        offset = cursor.expect_int("an offset") if cursor.accept("at") else None
        donor = self._value() if cursor.accept("in") else None
        self._slots[name] = Slot(name, type_, role, offset, donor)

    def _kernel(self) -> None:
        token = self._cursor.peek()
        kernel = KernelParser(self._cursor).kernel()
        if kernel.name in self._kernels:
            raise self._cursor.error(f"{token.text} is defined twice", token)
        self._kernels[kernel.name] = kernel

    def _step(self) -> CallStep:
        cursor = self._cursor
        cursor.expect("call")
        token = cursor.expect_kind("symbol", "a kernel, as @f")
        name = cursor.string(token)
        if name not in self._kernels:
            near = nearest(name, self._kernels)
            raise cursor.error(f"there is no kernel '{name}'{near}", token)
        args = comma_list(cursor, "(", ")", self._view)
        count = len(self._kernels[name].params)
        if len(args) != count:
            raise cursor.error(f"@{name} takes {count} buffers, got {len(args)}", token)
        label = cursor.expect_string() if cursor.token.kind == "string" else ""
        return CallStep(name, args, cursor.accept_location() or UNKNOWN, label)

    def _view(self) -> View:
        cursor, token = self._cursor, self._cursor.token
        slot = self._value()
        if slot not in self._slots:
            near = nearest(slot, self._slots)
            raise cursor.error(f"there is no buffer '{slot}'{near}", token)
        return View(slot, cursor.expect_int("an offset") if cursor.accept("+") else 0)

    def _fault(self) -> tuple[int, Fault]:
        """`1: "index out of range" loc("f.py":6)`."""
        cursor = self._cursor
        status = cursor.expect_int("a status")
        cursor.expect(":")
        message = cursor.expect_string()
        return status, Fault(message, cursor.accept_location() or UNKNOWN)

    def _memory(self) -> Memory:
        cursor = self._cursor
        cursor.expect("{")
        readers: Mapping[str, Callable[[], object]] = {
            "int": cursor.expect_int,
            "str": cursor.expect_string,
            "tuple[str, ...]": lambda: comma_list(cursor, "[", "]", cursor.expect_string),
        }
        figures: dict[str, Any] = {}  # each of its field's type, as the readers see to it
        for entry in fields(Memory):
            cursor.expect(entry.name)
            cursor.expect("=")
            figures[entry.name] = readers[str(entry.type)]()
        cursor.expect("}")
        return Memory(**figures)
