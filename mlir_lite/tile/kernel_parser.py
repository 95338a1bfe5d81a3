"""Reads the text of one kernel, as `printer.py` writes it; `parser.py` has the entrances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ..expr import INDEX
from ..expr.parser import ExprParser, expect_combiner, expect_dtype
from ..lexer import Cursor, Token
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
    Window,
)
from .printer import SIGNS

T = TypeVar("T")

_KINDS = {"for" if kind == Kind.SERIAL else str(kind): kind for kind in Kind}
_SIGNED = {sign: combiner for combiner, sign in SIGNS.items()}


def comma_list(cursor: Cursor, opening: str, closing: str, one: Callable[[], T]) -> tuple[T, ...]:
    """Entries in brackets with commas between them."""
    entries: list[T] = []
    cursor.expect(opening)
    while not cursor.at(closing):
        if entries:
            cursor.expect(",")
        entries.append(one())
    cursor.expect(closing)
    return tuple(entries)


class KernelParser:
    """Reads a kernel or one of its procs, whose names are its own."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._types: dict[str, DType] = {}  # of buffers, and of names bound by `let` so far
        self._expressions = ExprParser(cursor, self._types)
        self._outputs: list[str] = []

    def kernel(self) -> Kernel:
        cursor = self._cursor
        cursor.expect("kernel")
        name = self._symbol()
        params = comma_list(cursor, "(", ")", self._parameter)
        outputs = tuple(self._outputs)
        if cursor.accept("outputs"):
            outputs = comma_list(cursor, "(", ")", cursor.expect_name)
        cursor.expect("{")
        procs: list[Proc] = []
        while cursor.at("proc"):
            procs.append(KernelParser(cursor)._proc())
        externs: list[Extern] = []
        while cursor.at("extern"):
            externs.append(KernelParser(cursor)._extern())
        locals_, body = self._body()
        return Kernel(name, params, outputs, body, locals_, tuple(procs), tuple(externs))

    def _extern(self) -> Extern:
        """`extern @factor = dpotrf("U", 3, inout %a: f64[3, 3], 3, out %info: i32[1]) 9`."""
        cursor = self._cursor
        cursor.expect("extern")
        name = self._symbol()
        cursor.expect("=")
        routine = cursor.expect_name("a routine")
        reads: list[str] = []
        writes: list[str] = []

        def argument() -> str | int | Buffer:
            if cursor.token.kind == "string":
                return cursor.string(cursor.advance())
            if not cursor.at("in", "out", "inout"):
                return cursor.expect_int()
            mode = cursor.advance().text
            param = self._parameter()
            reads.extend([param.name] * (mode != "out"))
            writes.extend([param.name] * (mode != "in"))
            return param

        arguments = comma_list(cursor, "(", ")", argument)
        operations = cursor.expect_int()
        return Extern(name, routine, arguments, tuple(reads), tuple(writes), operations)

    def _proc(self) -> Proc:
        cursor = self._cursor
        cursor.expect("proc")
        name = self._symbol()
        cursor.expect("(")
        params: list[Buffer] = []
        scalars: list[str] = []
        while not cursor.at(";", ")"):
            if params:
                cursor.expect(",")
            params.append(self._parameter())
        if cursor.accept(";"):
            scalars.append(cursor.expect_name())
            while cursor.accept(","):
                scalars.append(cursor.expect_name())
        cursor.expect(")")
        cursor.expect("{")
        locals_, body = self._body()
        return Proc(name, tuple(params), tuple(scalars), body, locals_)

    def _symbol(self) -> str:
        return self._cursor.string(self._cursor.expect_kind("symbol", "a name, as @f"))

    def _parameter(self) -> Buffer:
        cursor = self._cursor
        token = cursor.expect_kind("value", "a parameter")
        name = cursor.string(token)
        cursor.expect(":")
        if cursor.accept("out"):
            self._outputs.append(name)
        return self._buffer(name, token)

    def _buffer(self, name: str, token: Token) -> Buffer:
        """`shared align(16) f32[4, 8] layout(i, j) -> [j, i] of [8, 4]`."""
        cursor = self._cursor
        if name in self._types:
            raise cursor.error(f"there are two buffers '{name}'", token)
        space = Space(cursor.advance().text) if cursor.at(*Space) else Space.GLOBAL
        alignment = 0
        if cursor.accept("align"):
            cursor.expect("(")
            alignment = cursor.expect_int()
            cursor.expect(")")
        dtype = expect_dtype(cursor)
        shape = self._sizes()
        layout = self._layout() if cursor.accept("layout") else None
        self._types[name] = dtype
        return Buffer(name, dtype, shape, space, layout, alignment)

    def _sizes(self) -> tuple[int, ...]:
        return comma_list(self._cursor, "[", "]", self._cursor.expect_int)

    def _layout(self) -> Layout:
        cursor = self._cursor
        axes = comma_list(cursor, "(", ")", cursor.expect_name)
        cursor.expect("->")
        cursor.expect("[")
        indices = ExprParser(cursor, {}).exprs("]", INDEX)
        cursor.expect("]")
        cursor.expect("of")
        return Layout(axes, indices, self._sizes())

    def _body(self) -> tuple[tuple[Buffer, ...], Block]:
        """The local buffers, the statements and the closing brace."""
        cursor = self._cursor
        locals_: list[Buffer] = []
        while cursor.accept("buffer"):
            token = cursor.token
            name = cursor.expect_name("a buffer")
            cursor.expect(":")
            locals_.append(self._buffer(name, token))
        return tuple(locals_), self._statements()

    def _block(self) -> Block:
        self._cursor.expect("{")
        return self._statements()

    def _statements(self) -> Block:
        cursor = self._cursor
        body: list[Stmt] = []
        with cursor.nested():
            while not cursor.accept("}"):
                body.append(self._statement())
        return tuple(body)

    def _statement(self) -> Stmt:
        cursor = self._cursor
        word = cursor.token.text
        if word in _KINDS:
            return self._loop()
        match word:
            case "if":
                return self._if()
            case "let":
                return self._let()
            case "call":
                return self._call()
            case "sync":
                cursor.advance()
                return Sync(cursor.expect_name("a scope"))
            case "async":
                cursor.advance()
                return Async(cursor.expect_name("a group"), self._block())
            case "wait":
                cursor.advance()
                group = cursor.expect_name("a group")
                cursor.expect(",")
                return Wait(group, cursor.expect_int())
            case "await":
                return self._await()
            case "nontemporal":
                cursor.advance()
                start = cursor.token
                write = self._write()
                if not isinstance(write, Store):
                    raise cursor.error("only a store can be nontemporal", start)
                return replace(write, nontemporal=True)
        return self._write()

    def _await(self) -> Await:
        self._cursor.expect("await")
        name, indices, token = self._expressions.at()
        self._expressions.check_buffer(name, token)
        self._cursor.expect(",")
        return Await(Ref(name, indices), self._expressions.expr(INDEX))

    def _loop(self) -> Loop:
        cursor = self._cursor
        kind = _KINDS[cursor.advance().text]
        axis = cursor.expect_name("an axis")
        cursor.expect("in")
        start = self._expressions.expr(INDEX)
        cursor.expect("..")
        stop = self._expressions.expr(INDEX)
        return Loop(axis, start, stop, self._block(), kind)

    def _if(self) -> If:
        self._cursor.expect("if")
        condition = self._expressions.expr(bool_)
        then = self._block()
        return If(condition, then, self._block() if self._cursor.accept("else") else ())

    def _let(self) -> Let:
        self._cursor.expect("let")
        name = self._cursor.expect_name()
        self._cursor.expect("=")
        value = self._expressions.expr()
        self._types[name] = value.dtype
        return Let(name, value)

    def _call(self) -> Call:
        cursor = self._cursor
        cursor.expect("call")
        callee = self._symbol()
        cursor.expect("(")
        windows: list[Window] = []
        while not cursor.at(";", ")"):
            if windows:
                cursor.expect(",")
            name, offsets, token = self._expressions.at()
            self._expressions.check_buffer(name, token)
            windows.append(Window(name, offsets))
        scalars = self._expressions.exprs(")", INDEX) if cursor.accept(";") else ()
        cursor.expect(")")
        return Call(callee, tuple(windows), scalars)

    def _write(self) -> Store | Accumulate:
        """`y[i] = value`, `y[i] += value` or `best[], at[] argmax= value, position`."""
        cursor = self._cursor
        start = cursor.token
        types: list[DType] = []
        targets: list[Ref] = []
        while not targets or cursor.accept(","):
            name, indices, token = self._expressions.at()
            types.append(self._expressions.check_buffer(name, token))
            targets.append(Ref(name, indices))
        if cursor.accept("="):
            if len(targets) > 1:
                raise cursor.error("only a combiner writes several elements", start)
            return Store(targets[0], self._expressions.expr(types[0]))
        combiner = _SIGNED.get(cursor.token.text)
        if combiner:
            cursor.advance()
        else:
            combiner = expect_combiner(cursor)
            cursor.expect("=")
        values = [self._expressions.expr(types[0])]
        for dtype in types[1:]:
            cursor.expect(",")
            values.append(self._expressions.expr(dtype))
        return Accumulate(combiner, tuple(targets), tuple(values))
