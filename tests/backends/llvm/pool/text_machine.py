"""A machine for threads that run LLVM text, of the few instructions that a thread pool needs.

Threads share one memory. A step is an access to it, or a call of what stands beside the text, and
whatever follows up to the next such place. Memory is as strict as it can be: what one thread has
written all others see at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

Words: TypeAlias = dict[int, int]  # by address; 0 where nothing was written
Memory: TypeAlias = tuple[tuple[int, int], ...]
# What stands beside the text is given the memory, the thread's number and the arguments, and may
# change the memory. False: the thread waits, its call is made again.
Beside: TypeAlias = Callable[[Words, int, Sequence[int]], bool]


class Fault(Exception):
    """What must not happen can."""


class Frame(NamedTuple):
    """Where a call is: its function, the instruction, the registers that are still read."""

    function: str
    at: int
    registers: tuple[tuple[str, int], ...]


Thread: TypeAlias = tuple[Frame, ...]  # the innermost call last; empty once it has ended


def _quotient(a: int, b: int) -> int:
    if not b:
        raise Fault("a division by zero")
    return a // b


_MASKS = {"i1": 1, "i32": 2**32 - 1, "i64": 2**64 - 1, "ptr": 2**64 - 1}
_PURE: Mapping[str, Callable[..., int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "udiv": _quotient,
    "shl": lambda a, b: a << b,
    "lshr": lambda a, b: a >> b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "zext": lambda a: a,
    "select": lambda condition, a, b: a if condition else b,
    "getelementptr": lambda base, offset: base + offset,
    # The signed comparisons are of numbers that are never negative.
    **dict.fromkeys(("icmp ult", "icmp slt"), lambda a, b: int(a < b)),
    **dict.fromkeys(("icmp ule", "icmp sle"), lambda a, b: int(a <= b)),
    **dict.fromkeys(("icmp ugt", "icmp sgt"), lambda a, b: int(a > b)),
    "icmp eq": lambda a, b: int(a == b),
    "icmp ne": lambda a, b: int(a != b),
}
_ACCESSES = ("load", "store", "cmpxchg", "atomicrmw add", "atomicrmw sub")
_LITERALS = {"true": 1, "false": 0, "null": 0}
_LINE = re.compile(r"(?:%([\w.]+) = )?((?:icmp|atomicrmw) \w+|\w+)(?: atomic)? (.*)")
# With what follows a comma and has no type of its own: the second operand of a sum.
_OPERAND = re.compile(r"\b(i1|i32|i64|ptr) ([%@-]?[\w.]+)(?![\w.(])(?:, ([%-]?[\w.]+)(?=$|,))?")


@dataclass(frozen=True)
class Instruction:
    result: str  # a register, or nothing
    op: str
    rest: str

    @cached_property
    def operands(self) -> list[tuple[str, str | int]]:
        """Types, and registers or numbers."""
        found = _OPERAND.findall(self.rest)
        second = self.op in _PURE and self.op != "getelementptr"
        spelt = [(kind, each) for kind, *both in found for each in both[: 1 + second] if each]
        return [(kind, _operand(kind, spelling)) for kind, spelling in spelt]

    @cached_property
    def names(self) -> frozenset[str]:
        """The registers that it reads, and the labels of branches."""
        return frozenset(re.findall(r"%([\w.]+)", self.rest))

    @cached_property
    def labels(self) -> list[str]:
        return re.findall(r"label %([\w.]+)", self.rest)

    @cached_property
    def sources(self) -> dict[str, str | int]:
        """A phi's values, by the block that was left."""
        kind, pairs = self.rest.split()[0], re.findall(r"\[ (\S+), %([\w.]+) \]", self.rest)
        return {block: _operand(kind, spelling) for spelling, block in pairs}

    @cached_property
    def callee(self) -> str:
        """The function called; that in a register is called `task`."""
        found = re.search(r"([@%])([\w.]+)\(", self.rest)
        return "" if self.op != "call" or found is None else (
            found[2] if found[1] == "@" else "task"
        )

    def given(self, registers: Mapping[str, int]) -> list[int]:
        """The operands' values."""
        return [
            registers[each] if isinstance(each, str) else each for _, each in self.operands
        ]


def _operand(kind: str, spelling: str) -> str | int:
    """A register's name, or a number; a function that is only handed on is 0."""
    if spelling[0] == "%":
        return spelling[1:]
    if spelling[0] == "@":
        return 0
    number = _LITERALS[spelling] if spelling in _LITERALS else int(spelling)
    return number & _MASKS[kind]


class Function:
    """A function's instructions in a row, and what may still be read from each on."""

    def __init__(self, head: str, body: str) -> None:
        self.parameters = re.findall(r"%([\w.]+)", head)
        self.rows: list[Instruction] = []
        self.places = {"entry": 0}
        body = re.sub(r"\(\n +([^\n]*)\n +\)", r"(\1)", body)  # a call on three lines
        for line in filter(None, (line.partition(";")[0].strip() for line in body.splitlines())):
            found = _LINE.fullmatch(line)
            if found is None:
                self.places[line.removesuffix(":")] = len(self.rows)
            else:
                self.rows.append(Instruction(found[1] or "", found[2], found[3]))
        self.blocks = [
            max((at, name) for name, at in self.places.items() if at <= number)[1]
            for number in range(len(self.rows))
        ]
        self.live = [frozenset[str]()] * (len(self.rows) + 1)
        while (again := self._live()) != self.live:
            self.live = again

    def _live(self) -> list[frozenset[str]]:
        found = [frozenset[str]()]
        for row in reversed(self.rows):
            after = found[0] if row.op not in ("br", "ret") else frozenset[str]()
            after = after.union(*(self.live[self.places[label]] for label in row.labels))
            found.insert(0, (after - {row.result}) | row.names)
        return found

    def frame(self, name: str, at: int, registers: Mapping[str, int]) -> Frame:
        kept = self.live[at] & registers.keys()
        return Frame(name, at, tuple(sorted((one, registers[one]) for one in kept)))

    def enter(self, label: str, source: int, registers: dict[str, int]) -> int:
        """The first instruction of a block behind its phis, set as from the branch at `source`."""
        at, values, left = self.places[label], dict[str, int](), self.blocks[source]
        while (row := self.rows[at]).op == "phi":
            value = row.sources[left]
            values[row.result] = registers[value] if isinstance(value, str) else value
            at += 1
        registers |= values
        return at


class Machine:
    """Runs functions of LLVM text, a step at a time."""

    def __init__(self, text: str, beside: Mapping[str, Beside]) -> None:
        defined = re.findall(
            r"^define [^@]*@(\w+)\(([^)]*)\)[^{]*\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL
        )
        self.functions = {name: Function(head, body) for name, head, body in defined}
        self.beside = beside

    def start(self, name: str, *arguments: int) -> Thread:
        """A thread before its first step."""
        parameters = self.functions[name].parameters
        return self._onward(name, 0, dict(zip(parameters, arguments, strict=True)), ())

    def step(self, number: int, thread: Thread, memory: Memory) -> tuple[Thread, Memory] | None:
        """The thread and the memory after the thread's next step; None where it has to wait."""
        *around, frame = thread
        row = self.functions[frame.function].rows[frame.at]
        registers, words = dict(frame.registers), dict(memory)
        given = row.given(registers)
        waits = bool(row.callee) and not self.beside[row.callee](words, number, given)
        if not row.callee:
            registers[row.result] = _access(row, given, words)
        after = tuple(sorted((place, word) for place, word in words.items() if word))
        if waits:
            return None if after == memory else (thread, after)
        return self._onward(frame.function, frame.at + 1, registers, tuple(around)), after

    def shown(self, thread: Thread) -> str:
        """The line of the next step, and the registers there."""
        frame = thread[-1]
        row = self.functions[frame.function].rows[frame.at]
        known = ", ".join(f"%{name} = {value}" for name, value in frame.registers)
        return f"@{frame.function}: %{row.result} = {row.op} {row.rest}    ; {known}"

    def _onward(self, name: str, at: int, registers: dict[str, int], around: Thread) -> Thread:
        """Where a thread is that goes on to its next step."""
        while True:
            function = self.functions[name]
            row = function.rows[at]
            if row.op in _ACCESSES or row.callee in self.beside:
                return (*around, function.frame(name, at, registers))
            if row.callee in self.functions:
                around = (*around, function.frame(name, at, registers))
                parameters = self.functions[row.callee].parameters
                name, at = row.callee, 0
                registers = dict(zip(parameters, row.given(registers), strict=True))
            elif row.op == "ret":
                if not around:
                    return ()
                value = row.given(registers)
                *outer, frame = around
                name, at, around = frame.function, frame.at + 1, tuple(outer)
                result = self.functions[name].rows[frame.at].result
                registers = dict(frame.registers) | dict.fromkeys([result], *value)
            elif row.op == "br":
                condition = row.given(registers)
                at = function.enter(row.labels[condition == [0]], at, registers)
            else:
                registers[row.result] = _pure(row, registers)
                at += 1


def _pure(row: Instruction, registers: Mapping[str, int]) -> int:
    if row.op == "extractvalue":
        [pair] = row.names
        return registers[pair]  # of a cmpxchg, of which only the success is kept
    if row.op == "call":
        return 0  # a hint to the processor
    return _PURE[row.op](*row.given(registers)) & _MASKS[row.operands[-1][0]]


def _access(row: Instruction, given: Sequence[int], words: Words) -> int:
    """Read or change the memory; gives the result."""
    match row.op, given:
        case "store", (value, place):
            words[place] = value
            return 0
        case "cmpxchg", (place, expected, value):
            if words.get(place, 0) != expected:
                return 0
            words[place] = value
            return 1
    place, mask = given[0], _MASKS[row.operands[-1][0]]
    before = words.get(place, 0)
    if row.op != "load":
        words[place] = before + (given[1] if row.op.endswith("add") else -given[1]) & mask
    return before
