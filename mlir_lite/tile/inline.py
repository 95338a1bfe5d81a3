"""Calls replaced by the callees' bodies on the callers' buffers, for interpreter and verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import VerifyError
from ..expr import Expr, Load, Var, loads_of, rewrite_expr
from .instructions import INSTRUCTIONS
from .nodes import (
    Accumulate,
    Block,
    Buffer,
    Call,
    Kernel,
    Let,
    Loop,
    Proc,
    Ref,
    Stmt,
    Store,
    Window,
    map_blocks,
    map_expressions,
    walk,
)


@dataclass(frozen=True, slots=True)
class Scope(Stmt):
    """Local buffers, uninitialised here, and the statements that may use them."""

    locals: tuple[Buffer, ...]
    body: Block


def callee_of(kernel: Kernel, call: Call) -> Proc:
    """What a call calls; `VerifyError` where there is none, or it takes other arguments."""
    procs = {proc.name: proc for proc in kernel.procs}
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
            if not any(True for _ in loads_of(value)):
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
