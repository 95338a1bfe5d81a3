"""Kernels and programs from their texts, as `printer.py` writes them.

Whatever does not fit is a `ParseError` with file, line and column. A program's text names its
buffers and kernels before the steps that use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..lexer import Cursor
from ..location import UNKNOWN, Location
from ..text import nearest
from ..type_parser import expect_tensor_type
from .kernel_parser import KernelParser, comma_list
from .nodes import Kernel
from .program import (
    CallStep,
    Fault,
    IfStep,
    LoopStep,
    Memory,
    Program,
    Role,
    Slot,
    Step,
    View,
    WhileStep,
)


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
        self._loops: list[str] = []  # the names of the loops around

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
        steps = self._steps()
        faults: dict[int, Fault] = {}
        while cursor.accept("fault"):
            status, fault = self._fault()
            faults[status] = fault
        memory = self._memory() if cursor.accept("memory") else None
        cursor.expect("}")
        kernels, slots = tuple(self._kernels.values()), tuple(self._slots.values())
        return Program(name, kernels, slots, steps, params, results, faults, memory)

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

    def _steps(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        while self._cursor.at(*self._readers):
            steps.append(self._readers[self._cursor.advance().text]())
        return tuple(steps)

    @property
    def _readers(self) -> Mapping[str, Callable[[], Step]]:
        """What reads the rest of a step, by its first word."""
        return {"call": self._call, "loop": self._loop, "while": self._while, "if": self._if}

    def _call(self) -> CallStep:
        cursor = self._cursor
        token = cursor.expect_kind("symbol", "a kernel, as @f")
        name = cursor.string(token)
        if name not in self._kernels:
            near = nearest(name, self._kernels)
            raise cursor.error(f"there is no kernel '{name}'{near}", token)
        args = comma_list(cursor, "(", ")", self._view)
        count = len(self._kernels[name].params)
        if len(args) != count:
            raise cursor.error(f"@{name} takes {count} buffers, got {len(args)}", token)
        alternating = cursor.accept("alternating")
        label = cursor.expect_string() if cursor.token.kind == "string" else ""
        return CallStep(name, args, self._location(), label, alternating)

    def _loop(self) -> LoopStep:
        cursor, token = self._cursor, self._cursor.token
        name = cursor.expect_name("the name of a loop")
        if name in self._loops:
            raise cursor.error(f"'{name}' is the name of a loop around this one", token)
        cursor.expect("in")
        start = cursor.token
        if cursor.expect_int("a range from 0, as 0..4") != 0:
            raise cursor.error("a loop of steps starts at 0", start)
        cursor.expect("..")
        count = cursor.expect_int("a number of turns")
        location = self._location()
        self._loops.append(name)
        body = self._block()
        self._loops.pop()
        return LoopStep(name, count, body, location)

    def _while(self) -> WhileStep:
        cursor = self._cursor
        condition, limit, fault = self._view(), None, 0
        if cursor.accept("limit"):
            limit = cursor.expect_int("a number of turns")
            cursor.expect("fault")
            fault = cursor.expect_int("a status")
        location = self._location()
        test = self._block()
        cursor.expect("do")
        return WhileStep(test, condition, self._block(), limit, fault, location)

    def _if(self) -> IfStep:
        condition, location = self._view(), self._location()
        then = self._block()
        self._cursor.expect("else")
        return IfStep(condition, then, self._block(), location)

    def _block(self) -> tuple[Step, ...]:
        self._cursor.expect("{")
        steps = self._steps()
        self._cursor.expect("}")
        return steps

    def _location(self) -> Location:
        return self._cursor.accept_location() or UNKNOWN

    def _view(self) -> View:
        cursor, token = self._cursor, self._cursor.token
        slot = self._value()
        if slot not in self._slots:
            near = nearest(slot, self._slots)
            raise cursor.error(f"there is no buffer '{slot}'{near}", token)
        offset, strides = 0, []
        while cursor.accept("+"):
            number = cursor.expect_int("an offset")
            if not cursor.accept("*"):
                offset += number
                continue
            token = cursor.token
            loop = cursor.expect_name("the name of a loop")
            if loop not in self._loops:
                raise cursor.error(f"there is no loop '{loop}' around", token)
            strides.append((loop, number))
        return View(slot, offset, tuple(strides))

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
