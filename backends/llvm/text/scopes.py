"""Values, and text that grows in nested scopes: what the emitter of kernels writes into.

A scope is a loop body, a branch or what follows a `Let`. Its `head` takes what depends on nothing
inside it, so an address is computed at the outermost loop where its variables are known. Equal
instructions are written once: `define` gives the name of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ....types import DType
from .builder import LlvmText, constant, splat, vector_type

# In registers f16 and bf16 are f32 values that their type can hold.
_REGISTER = {"f64": "double", "f32": "float", "f16": "float", "bf16": "float", "u8": "i8"}
_MEMORY = {"f64": "double", "f32": "float", "f16": "i16", "bf16": "i16", "u8": "i8", "bool": "i8"}


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA name or a literal; `lanes` is 1 for a scalar. `number` is a literal's value."""

    name: str
    dtype: DType
    lanes: int = 1
    number: int | float | bool | None = None

    @property
    def type(self) -> str:
        return register_type(self.dtype, self.lanes)

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


def register_type(dtype: DType, lanes: int = 1) -> str:
    """The LLVM type of a value of `lanes` elements: `float`, `<16 x float>`, `<16 x i1>`."""
    element = "i1" if dtype.kind == "b" else _REGISTER.get(dtype.name, dtype.name)
    return vector_type(element, lanes)


def memory_type(dtype: DType, lanes: int = 1) -> str:
    """The LLVM type of elements in memory; half floats are their bits, a bool is a byte."""
    return vector_type(_MEMORY.get(dtype.name, dtype.name), lanes)


def suffix(llvm_type: str) -> str:
    """How an intrinsic's name spells a type: `<16 x float>` is `v16f32`."""
    if llvm_type.startswith("<"):
        lanes, element = llvm_type[1:-1].split(" x ")
        return f"v{lanes}{suffix(element)}"
    return {"double": "f64", "float": "f32", "half": "f16"}.get(llvm_type, llvm_type)


def literal(value: int | float | bool, dtype: DType, lanes: int = 1) -> Value:
    """A constant in all lanes."""
    if dtype.is_float:
        text = constant(float(value), "f64" if dtype.bits == 64 else "f32", lanes)
    elif dtype.kind == "b":
        text = splat("true" if value else "false", "i1", lanes)
    else:
        limit = 1 << dtype.bits  # LLVM's integers have no sign: 255 of u8 may be written -1
        signed = (int(value) + limit // 2) % limit - limit // 2
        text = splat(str(signed), register_type(dtype), lanes)
    return Value(text, dtype, lanes, value)


@dataclass
class Scope:
    """The text of a scope: `head` comes before `lines`; names of instructions by their text."""

    head: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    head_names: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    loads: dict[object, Value] = field(default_factory=dict)


@dataclass
class ScopedText(LlvmText):
    """The text of one function. `lines` is the list that new lines go to."""

    scopes: list[Scope] = field(default_factory=lambda: [Scope()])
    _hoist: int | None = None
    _written: set[str] = field(default_factory=set)  # every instruction there was in any scope

    def __post_init__(self) -> None:
        self._aim()

    @property
    def depth(self) -> int:
        """The index of the innermost scope."""
        return len(self.scopes) - 1

    def push(self) -> None:
        self.scopes.append(Scope())
        self._aim()

    def pop(self) -> list[str]:
        """Leave the innermost scope; its text, head first."""
        scope = self.scopes.pop()
        self._aim()
        return scope.head + scope.lines

    def finished(self) -> list[str]:
        """The whole text, when all inner scopes are left."""
        (scope,) = self.scopes
        return scope.head + scope.lines

    @contextmanager
    def hoisted(self, depth: int) -> Iterator[None]:
        """Write into the head of the scope at `depth` (only what is pure and defined there)."""
        before = self._hoist
        self._hoist = depth if before is None else min(depth, before)
        self._aim()
        try:
            yield
        finally:
            self._hoist = before
            self._aim()

    def define(self, expression: str) -> str:
        """The name of this pure instruction's result; written unless it is there already."""
        hoist = self._hoist
        target = self.scopes[-1].names if hoist is None else self.scopes[hoist].head_names
        if expression in self._written:
            known = self._find(expression, len(self.scopes) if hoist is None else hoist)
            known = known or target.get(expression)
            if known is not None:
                return known
        self._written.add(expression)
        target[expression] = name = super().define(expression)
        return name

    def unless_rare(self, rare: str, kind: str, usual: str, call: str) -> str:
        """As that of all texts; written once for each call. A head has no branches: there it is
        called whatever the condition."""
        if self._hoist is not None:
            return self.define(call)
        known = self._find(call, len(self.scopes))
        if known is None:
            known = super().unless_rare(rare, kind, usual, call)
            self.scopes[-1].names[call] = known
        return known

    def call(self, result: str, function: str, *args: Value | str) -> str:
        """Call a pure function; `args` are values, or texts `type name`."""
        texts = [str(arg) for arg in args]
        types = ", ".join(text[: _type_end(text)] for text in texts)
        self.declare(f"declare {result} @{function}({types})")
        return self.define(f"call {result} @{function}({', '.join(texts)})")

    def _find(self, expression: str, scopes: int) -> str | None:
        for scope in reversed(self.scopes[:scopes]):
            known = scope.names.get(expression) or scope.head_names.get(expression)
            if known is not None:
                return known
        return None

    def _aim(self) -> None:
        if self._hoist is None:
            self.lines = self.scopes[-1].lines
        else:
            self.lines = self.scopes[self._hoist].head


def _type_end(text: str) -> int:
    """Where the type in `type name` ends."""
    return text.index(">") + 1 if text.startswith("<") else text.index(" ")
