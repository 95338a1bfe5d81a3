"""What a thread reads of a run of neighbours, held in registers, and what it computes of it and
stores at once.

    for j: y[j] = f(x[j], s)
      ->  for j.o: {call load(x_[0], x[j.o * 4]);  s_ = s;  unroll e: y_[e] = f(x_[e], s_);
                    call store(y[j.o * 4], y_[0])}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....expr import Expr, Load, const, index, substitute_vars, vars_of
from ....expr.simplify import factor_of, linear_sum
from ....expr.traverse import children, with_children
from ....tile.instructions.copies import load_name, store_name
from ....tile.nodes import (
    Block,
    Buffer,
    Call,
    If,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Window,
)
from ....tile.traverse import map_expressions
from ....tile.tree import Names, var
from ....types import DType
from .wide import Run


@dataclass(frozen=True)
class Held:
    """Registers with what a run reads, those of several runs side by side: a `lead` index or more
    comes first. What is the same for all of a run is there once."""

    run: Run
    registers: Mapping[Load, Buffer]

    @staticmethod
    def of(run: Run, lead: tuple[int, ...], names: Names) -> Held:
        registers: dict[Load, Buffer] = {}
        for load in (*run.loads, *run.guarded):
            shape = (*lead, run.width) if run.moves(load) else lead
            own = names.fresh(f"{load.buffer}_", "_")
            registers[load] = Buffer(own, load.dtype, shape, Space.REGISTER)
        return Held(run, registers)

    def filled(self, first: Expr, at: tuple[Expr, ...]) -> Block:
        """Read a run from its `first` element on."""
        found: list[Stmt] = []
        before: dict[Load, Buffer] = {}
        for load, register in self.registers.items():
            known = Held(self.run, dict(before))
            indices = tuple(known.replaced(part, at, index(0)) for part in load.indices)
            before[load] = register
            there = at_place(indices, self.run.axis, first)
            to = (*at, index(0)) if self.run.moves(load) else at
            if self.run.width == 1 or not self.run.moves(load):
                value = Load(load.dtype, load.buffer, there)
                found.append(Store(Ref(register.name, to), value))
                continue
            windows = (Window(register.name, to), Window(load.buffer, there))
            read = Call(load_name(load.dtype, self.run.width), windows)
            condition = self.run.guarded.get(load)
            found.append(read if condition is None else self._guarded(read, condition, to[:-1]))
        return tuple(found)

    def _guarded(self, read: Call, condition: Expr, at: tuple[Expr, ...]) -> Stmt:
        """Registers with what is read where a condition holds, else with zeros."""
        name, dtype = read.windows[0].buffer, self.run.kernel.buffers[read.windows[1].buffer].dtype
        zeros = (
            Store(Ref(name, (*at, index(e))), const(0, dtype)) for e in range(self.run.width)
        )
        return If(condition, (read,), tuple(zeros))

    def replaced(self, expr: Expr, at: tuple[Expr, ...], element: Expr) -> Expr:
        """An expression with what was read out of its registers."""
        register = self.registers.get(expr) if isinstance(expr, Load) else None
        if register is not None and isinstance(expr, Load):
            place = (*at, element) if self.run.moves(expr) else at
            return Load(expr.dtype, register.name, place)
        parts = children(expr)
        new = tuple(self.replaced(part, at, element) for part in parts)
        return with_children(expr, new) if new != parts else expr


@dataclass(frozen=True)
class Computed:
    """Statements, and the registers that they use."""

    block: Block
    registers: tuple[Buffer, ...]


def computed(run: Run, held: Held, first: Expr, at: tuple[Expr, ...], names: Names) -> Computed:
    """What a run computes and stores, from its `first` element on, of what is held `at` indices.
    What registers have side by side already is stored out of these."""
    element = names.fresh("e", "$")
    here = {run.axis: first + var(element)}
    buffers: list[Buffer] = []
    body: list[Stmt] = []
    stored: list[Stmt] = []

    def visit(expr: Expr) -> Expr:
        return substitute_vars(held.replaced(expr, at, var(element)), here)

    for stmt in run.body:
        (made,) = map_expressions((stmt,), visit)
        if isinstance(stmt, Store) and isinstance(made, Store):
            target = run.kernel.buffers[stmt.target.buffer]
            values = _side_by_side(run, made.value, target.dtype, element)
            if values is None:
                own = names.fresh(f"{target.name}_", "_")
                buffers.append(Buffer(own, target.dtype, (run.width,), Space.REGISTER))
                values = Window(own, (index(0),))
                body.append(Store(Ref(own, (var(element),)), made.value))
            to = Window(target.name, at_place(stmt.target.indices, run.axis, first))
            stored.append(Call(store_name(target.dtype, run.width), (to, values)))
        else:
            body.append(made)
    loop = Loop(element, index(0), index(run.width), tuple(body), Kind.UNROLL)
    return Computed((*((loop,) if body else ()), *stored), tuple(buffers))


def _side_by_side(run: Run, value: Expr, dtype: DType, element: str) -> Window | None:
    """Where registers have a value, and those of the other elements behind it in their order."""
    match value:
        case Load(dtype=own, buffer=name, indices=(*outer, last)) if own == dtype:
            known = run.kernel.buffers.get(name)  # of others the one who writes the kernel knows
            in_memory = known is not None and known.space in (Space.GLOBAL, Space.SHARED)
            stays = all(element not in vars_of(part) for part in outer)
            follows = factor_of(element, linear_sum([(last, 1)])) == 1
            if stays and follows and not in_memory:
                return Window(name, (*outer, substitute_vars(last, {element: index(0)})))
    return None


def at_place(indices: Sequence[Expr], axis: str, place: Expr) -> tuple[Expr, ...]:
    """Indices with an axis at a place."""
    return tuple(substitute_vars(part, {axis: place}) for part in indices)
