"""Calls replaced by the callees' bodies on the callers' buffers, for interpreter and verifier.

What a C function does no loops can say. Its call becomes an `External`, whose body are loops that
touch what it touches: they tell the verifier all it asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import VerifyError
from ..expr import INDEX, Expr, Load, Var, const, has_loads, index, rewrite_expr
from .instructions.table import INSTRUCTIONS
from .nodes import (
    Accumulate,
    Block,
    Buffer,
    Call,
    Extern,
    Kernel,
    Let,
    Loop,
    Proc,
    Ref,
    Stmt,
    Store,
    Window,
)
from .traverse import map_blocks, map_expressions, walk


@dataclass(frozen=True, slots=True)
class Scope(Stmt):
    """Local buffers, uninitialised here, and the statements that may use them."""

    locals: tuple[Buffer, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class External(Stmt):
    """A call of a C function; `body` reads and writes what that does, but means nothing."""

    extern: Extern
    windows: tuple[Window, ...]
    body: Block


def callee_of(kernel: Kernel, call: Call) -> Proc:
    """What a call calls; `VerifyError` where there is none, or it takes other arguments.

    Of a C function, the loops that touch what it touches.
    """
    procs = {proc.name: proc for proc in kernel.procs}
    procs |= {extern.name: touching(extern) for extern in kernel.externs}
    callee = procs.get(call.callee)
    if callee is None and call.callee in INSTRUCTIONS:
        callee = INSTRUCTIONS[call.callee].semantics
    if callee is None:
        raise VerifyError(f"kernel '{kernel.name}': nothing is called '{call.callee}'")
    counts = (len(call.windows), len(call.scalars))
    if counts != (len(callee.params), len(callee.scalars)):
        raise VerifyError(
            f"kernel '{kernel.name}': '{callee.name}' takes {len(callee.params)} windows "
            f"and {len(callee.scalars)} scalars, not {counts[0]} and {counts[1]}"
        )
    for param, window in zip(callee.params, call.windows, strict=True):
        if len(param.shape) > len(window.offsets):
            raise VerifyError(
                f"kernel '{kernel.name}': the window of '{window.buffer}' given to "
                f"'{callee.name}' has too few dimensions"
            )
    return callee


def touching(extern: Extern) -> Proc:
    """Loops over all elements that a C function may read, then all that it may write."""
    body: list[Stmt] = []
    params = {param.name: param for param in extern.params}
    for name in extern.reads:
        at = _indices(params[name], "read")
        seen = Let(f"{name}.seen", Load(params[name].dtype, name, at))
        body.append(_over(params[name], "read", seen))
    for name in extern.writes:
        target = Ref(name, _indices(params[name], "write"))
        body.append(_over(params[name], "write", Store(target, const(0, params[name].dtype))))
    return Proc(extern.name, extern.params, (), tuple(body))


def _indices(param: Buffer, verb: str) -> tuple[Expr, ...]:
    return tuple(Var(INDEX, f"{param.name}.{verb}{axis}") for axis in range(len(param.shape)))


def _over(param: Buffer, verb: str, stmt: Stmt) -> Stmt:
    """A statement in loops over all elements of a buffer."""
    for axis in reversed(range(len(param.shape))):
        name, extent = f"{param.name}.{verb}{axis}", index(param.shape[axis])
        stmt = Loop(name, index(0), extent, (stmt,))
    return stmt


def inline_calls(kernel: Kernel) -> Block:
    """The kernel's body with every call replaced by what the callee does."""
    return _Inliner(kernel).block(kernel.body)


class _Inliner:
    """Replaces calls by the callees' bodies; each call's names get a number of their own."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.calls = 0

    def block(self, block: Block) -> Block:
        return tuple(piece for stmt in block for piece in self.statement(stmt))

    def statement(self, stmt: Stmt) -> Block:
        if isinstance(stmt, Call):
            return self.call(stmt)
        return (map_blocks(stmt, self.block),)

    def call(self, call: Call) -> Block:
        callee = callee_of(self.kernel, call)
        self.calls += 1
        mark = f"@{self.calls}"
        # Offsets and scalars are bound here: the callee may change what they were loaded from.
        lets: list[Stmt] = []

        def bind(name: str, value: Expr) -> Expr:
            if not has_loads(value):
                return value
            lets.append(Let(name + mark, value))
            return Var(value.dtype, name + mark)

        windows = {
            param.name: Window(
                window.buffer,
                tuple(bind(f"{param.name}.{n}", part) for n, part in enumerate(window.offsets)),
            )
            for param, window in zip(callee.params, call.windows, strict=True)
        }
        values = {
            name: bind(name, value)
            for name, value in zip(callee.scalars, call.scalars, strict=True)
        }
        body = self.block(_renamed(callee, mark, windows, values))
        for extern in self.kernel.externs:
            if extern.name == call.callee:
                return (*lets, External(extern, tuple(windows.values()), body))
        locals_ = tuple(replace(local, name=local.name + mark) for local in callee.locals)
        return (*lets, Scope(locals_, body)) if locals_ else (*lets, *body)


def _renamed(
    callee: Proc, mark: str, windows: Mapping[str, Window], values: Mapping[str, Expr]
) -> Block:
    """The callee's body on the caller's buffers, its own names marked."""
    own = {local.name for local in callee.locals}
    names = {stmt.axis for stmt in walk(callee.body) if isinstance(stmt, Loop)}
    names |= {stmt.name for stmt in walk(callee.body) if isinstance(stmt, Let)}

    def place(buffer: str, indices: tuple[Expr, ...]) -> tuple[str, tuple[Expr, ...]]:
        if buffer in own:
            return buffer + mark, indices
        window = windows[buffer]
        # The callee's dimensions are the last ones of the caller's buffer.
        lead = len(window.offsets) - len(indices)
        moved = tuple(
            offset + part for offset, part in zip(window.offsets[lead:], indices, strict=True)
        )
        return window.buffer, (*window.offsets[:lead], *moved)

    def visit(node: Expr) -> Expr | None:
        match node:
            case Var(name=name) if name in values:
                return values[name]
            case Var(dtype=dtype, name=name) if name in names:
                return Var(dtype, name + mark)
            case Load(dtype=dtype, buffer=buffer, indices=indices):
                return Load(dtype, *place(buffer, indices))
        return None

    def own_names(block: Block) -> Block:
        return tuple(rename(stmt) for stmt in block)

    def rename(stmt: Stmt) -> Stmt:
        match map_blocks(stmt, own_names):
            case Loop() as loop:
                return replace(loop, axis=loop.axis + mark)
            case Let(name=name, value=value):
                return Let(name + mark, value)
            case Store(target=target) as store:
                return replace(store, target=Ref(*place(target.buffer, target.indices)))
            case Accumulate(combiner=combiner, targets=targets, values=parts):
                moved = tuple(Ref(*place(ref.buffer, ref.indices)) for ref in targets)
                return Accumulate(combiner, moved, parts)
            case Call(callee=name, windows=parts, scalars=scalars):
                moved_windows = tuple(Window(*place(part.buffer, part.offsets)) for part in parts)
                return Call(name, moved_windows, scalars)
            case other:
                return other

    return own_names(map_expressions(callee.body, lambda expr: rewrite_expr(expr, visit)))
