"""Emission of statements: loops, branches, calls and stores into a growing function.

Loops are rotated (the test is at the bottom) and carry the registers that their bodies write in
phis. Unrolled loops leave no trace but their constants.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....errors import UnsupportedError, VerifyError
from ....expr import INDEX, Const, Expr, Var, apply, bounds_of, has_loads, index
from ....tile.nodes import (
    Accumulate,
    Async,
    Block,
    Call,
    If,
    Kind,
    Let,
    Loop,
    Proc,
    Stmt,
    Store,
    Sync,
    Wait,
    Window,
)
from ..text.scopes import ScopedText, Value
from .accesses import written_refs
from .accumulate import emit_accumulate
from .calls import Callees
from .expr import Evaluator
from .extern import emit_extern
from .frame import Binding, Frame, VectorAxis
from .instructions import REQUESTS, RULES, emit_dot, emit_prefetch
from .matrices import ON_MATRICES, Matrices
from .registers import Registers
from .writes import Writes

_SEQUENTIAL = (Kind.SERIAL, Kind.ROLLED, Kind.PARALLEL)


@dataclass
class Statements:
    """Emits statements at the point of the text that `frame` describes."""

    frame: Frame
    registers: Registers
    evaluator: Evaluator
    callees: Callees
    instructions: frozenset[str] = frozenset()  # what the machine has
    matrices: Matrices = Matrices({}, ())  # in its registers; others are in memory

    @property
    def out(self) -> ScopedText:
        return self.frame.out

    def block(self, block: Block) -> None:
        """The statements in order; what follows a `Let` is a scope of its own."""
        depth = self.out.depth
        for stmt in block:
            self.evaluator.start_statement()
            self._statement(stmt)
        while self.out.depth > depth:
            text = self.out.pop()
            self.out.lines.extend(text)

    def _statement(self, stmt: Stmt) -> None:
        match stmt:
            case Loop():
                self._loop(stmt)
            case If():
                self._if(stmt)
            case Let():
                self._let(stmt)
            case Store(target=target, value=value, nontemporal=nontemporal):
                result = self.evaluator.evaluate(value)
                self.evaluator.memory.store(target, result, nontemporal=nontemporal)
            case Accumulate():
                emit_accumulate(stmt, self.evaluator)
            case Call():
                callee = self._enter(stmt)
                with self.frame.inside(self.callees.windows(callee, self._windows(stmt))):
                    self._body(callee)
            case Async(body=body):
                self.block(body)
            case Sync() | Wait():
                pass  # one thread, in order: what is waited for is done
            case _:
                raise UnsupportedError(f"the CPU backend cannot emit a {type(stmt).__name__}")

    def _let(self, stmt: Let) -> None:
        frame = self.frame
        frame.replaced.pop(stmt.name, None)
        if stmt.value.dtype == INDEX:
            resolved = frame.resolve(stmt.value)
            frame.bounds[stmt.name] = bounds_of(resolved, frame.bounds)
            if not has_loads(resolved):
                frame.replaced[stmt.name] = resolved
                return
        value = self.evaluator.evaluate(stmt.value)
        self.out.push()
        frame.values[stmt.name] = Binding(value, self.out.depth)

    def _body(self, callee: Proc) -> None:
        """What a call does: one instruction where the machine has it, else its loops."""
        extern = self.callees.extern(callee.name)
        if extern is not None:
            emit_extern(extern, self.evaluator)
            return
        if callee.name in REQUESTS:
            emit_prefetch(callee, self.evaluator)
            return
        if callee.name in ON_MATRICES and self.matrices.shapes:
            self.matrices.emit(callee, self.evaluator)
            return
        native = callee.name in self.instructions
        if not (native and emit_dot(RULES[callee.name], callee, self.evaluator)):
            self.block(callee.body)

    def _enter(self, call: Call) -> Proc:
        """Bind the indices that a call gives."""
        callee = self.callees.find(call)
        for name, value in zip(callee.scalars, call.scalars, strict=True):
            self._let(Let(name, value))
        return callee

    def _windows(self, call: Call) -> tuple[Window, ...]:
        """The call's windows on the kernel's buffers; offsets that are loaded, loaded before."""
        moved = []
        for number, window in enumerate(call.windows):
            offsets = list(window.offsets)
            for axis, offset in enumerate(offsets):
                if has_loads(offset):
                    name = f"{call.callee}@{number}.{axis}"
                    self._let(Let(name, offset))
                    offsets[axis] = Var(INDEX, name)
            moved.append(Window(*self.frame.located(window.buffer, tuple(offsets))))
        return tuple(moved)

    def _loop(self, loop: Loop) -> None:
        frame = self.frame
        start, stop = frame.resolve(loop.start), frame.resolve(loop.stop)
        extent = stop.value - start.value if (
            isinstance(start, Const) and isinstance(stop, Const)
        ) else None
        if extent is not None and extent <= 0:
            return
        if loop.kind is Kind.UNROLL or extent == 1:
            self._unrolled(loop)
        elif loop.kind is Kind.VECTOR:
            self._vector(loop)
        elif loop.kind in _SEQUENTIAL:
            self._counted(loop, start, stop)
        else:
            raise UnsupportedError(f"a CPU has no '{loop.kind}' loops")

    def _unrolled(self, loop: Loop) -> None:
        frame = self.frame
        start = frame.constant(loop.start, f"the limit of the unrolled loop '{loop.axis}'")
        stop = frame.constant(loop.stop, f"the limit of the unrolled loop '{loop.axis}'")
        frame.bounds[loop.axis] = (start, stop - 1)
        for value in range(start, stop):
            frame.replaced[loop.axis] = index(value)
            self.block(loop.body)
        frame.replaced.pop(loop.axis, None)

    def _vector(self, loop: Loop) -> None:
        frame = self.frame
        if frame.vector is not None:
            raise VerifyError(f"the vector loop '{loop.axis}' is inside '{frame.vector.name}'")
        start = frame.constant(loop.start, f"the limit of the vector loop '{loop.axis}'")
        stop = frame.constant(loop.stop, f"the limit of the vector loop '{loop.axis}'")
        with frame.along(VectorAxis(loop.axis, start, stop - start)):
            self.block(loop.body)

    def _counted(self, loop: Loop, start: Expr, stop: Expr) -> None:
        """A loop that runs at run time; its limits are the same in all lanes."""
        frame = self.frame
        if frame.varies(start) or frame.varies(stop):
            raise UnsupportedError(f"the limits of the loop '{loop.axis}' differ by lane")
        first, end = self.evaluator.evaluate(start), self.evaluator.evaluate(stop)
        low, high = bounds_of(start, frame.bounds)[0], bounds_of(stop, frame.bounds)[1]
        may_be_empty = bounds_of(apply("sub", stop, start), frame.bounds)[0] <= 0
        frame.bounds[loop.axis] = (low, high - 1)
        self.counted(loop.axis, first, end, loop.body, may_be_empty=may_be_empty)

    def counted(
        self, axis: str, first: Value, end: Value, body: Block, *, may_be_empty: bool
    ) -> None:
        """`for axis in first..end`, the test at the bottom."""
        out = self.out
        self._forget_stored(body)
        written = Writes(self.frame, self.evaluator.memory, self.callees).units(body)
        before = {key: self.registers.unit(key) for key in written}
        inside, after = out.label("loop"), out.label("after")
        if may_be_empty:
            test = self.frame.scalars.compare("lt", first, end)
            out.line(f"br {test}, label %{inside}, label %{after}")
        else:
            out.line(f"br label %{inside}")
        entry = out.block
        counter = Value(out.name(), INDEX)
        carried = {key: out.name() for key in written}
        self.registers.names.update(carried)
        out.push()
        out.block = inside
        self.frame.values[axis] = Binding(counter, out.depth)
        self.block(body)
        latch, text = out.block, out.pop()
        last = {key: self.registers.unit(key) for key in written}
        following = out.name()
        out.start_block(inside)
        out.line(f"; for {axis}")
        out.line(f"{counter.name} = phi i64 [ {first.name}, %{entry} ], [ {following}, %{latch} ]")
        for key in written:
            self._phi(carried[key], (before[key], entry), (last[key], latch))
        out.lines.extend(text)
        out.line(f"{following} = add nsw i64 {counter.name}, 1")
        again = out.define_anew(f"icmp slt i64 {following}, {end.name}")
        out.line(f"br i1 {again}, label %{inside}, label %{after}")
        out.start_block(after)
        if may_be_empty:
            for key in written:
                self.registers.names[key] = out.name()
                self._phi(self.registers.names[key], (before[key], entry), (last[key], latch))

    def _phi(self, name: str, *incoming: tuple[Value, str]) -> None:
        kind = incoming[0][0].type
        sources = ", ".join(f"[ {value.name}, %{block} ]" for value, block in incoming)
        self.out.line(f"{name} = phi {kind} {sources}")

    def _if(self, stmt: If) -> None:
        condition = self.evaluator.condition(stmt.condition)
        if isinstance(condition, bool):
            self.block(stmt.then if condition else stmt.otherwise)
            return
        if condition.lanes > 1:
            with self.frame.guarded(condition):
                self.block(stmt.then)
            if stmt.otherwise:
                with self.frame.guarded(self.frame.scalars.apply("not", condition)):
                    self.block(stmt.otherwise)
            return
        self._branch(condition, stmt)

    def _branch(self, condition: Value, stmt: If) -> None:
        out, names = self.out, self.registers.names
        then, otherwise, done = out.label("then"), out.label("else"), out.label("done")
        target = otherwise if stmt.otherwise else done
        out.line(f"br {condition}, label %{then}, label %{target}")
        entry, before = out.block, dict(names)
        self._arm(then, stmt.then, done)
        after_then, then_block = dict(names), self._left
        names.clear()
        names.update(before)
        other_block = entry
        if stmt.otherwise:
            self._arm(otherwise, stmt.otherwise, done)
            other_block = self._left
        out.start_block(done)
        for key in dict.fromkeys((*after_then, *names)):
            if after_then.get(key) != names.get(key):
                mine, theirs = self.registers.unit(key), after_then.get(key, "poison")
                names[key] = out.name()
                self._phi(names[key], (replace(mine, name=theirs), then_block), (mine, other_block))

    def _arm(self, label: str, block: Block, done: str) -> None:
        """A branch of an `If`; `_left` is then the basic block that it ends in."""
        out = self.out
        out.start_block(label)
        out.push()
        self.block(block)
        self._left = out.block
        text = out.pop()
        out.lines.extend(text)
        out.line(f"br label %{done}")

    def _forget_stored(self, body: Block) -> None:
        """What a loop's body stores may have changed before its later iterations load it."""
        refs = written_refs(body, self.callees)
        for name in sorted({self.frame.buffer_of(ref.buffer).name for ref in refs}):
            self.evaluator.memory.touch(name)
