"""Which registers a loop's body writes: they are what the loop must carry in phis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ....expr import index, vars_of
from ....tile.nodes import Accumulate, Async, Block, Call, If, Kind, Let, Loop, Space, Store, Window
from .accesses import written_refs
from .calls import Callees
from .frame import Frame, VectorAxis
from .memory import Memory
from .registers import Key


@dataclass(frozen=True)
class Writes:
    """Follows a block without emitting it, as far as its writes to registers need."""

    frame: Frame
    memory: Memory
    callees: Callees
    _used: dict[int, frozenset[str] | None] = field(default_factory=dict)

    def units(self, body: Block) -> tuple[Key, ...]:
        """The units of register buffers that a block writes, each once, in order."""
        return tuple(dict.fromkeys(self._writes(body)))

    def _writes(self, body: Block) -> Iterator[Key]:
        if id(body) not in self._used:  # a loop's body is followed once for each iteration
            self._used[id(body)] = self._register_variables(body)
        used = self._used[id(body)]
        if used is None:
            return
        for stmt in body:
            match stmt:
                case Loop():
                    yield from self._loop_writes(stmt, used)
                case If(then=then, otherwise=otherwise):
                    yield from self._writes(then)
                    yield from self._writes(otherwise)
                case Async(body=inner):
                    yield from self._writes(inner)
                case Call():
                    callee = self.callees.find(stmt)
                    moved = tuple(
                        Window(*self.frame.located(window.buffer, window.offsets))
                        for window in stmt.windows
                    )
                    with self.frame.inside(self.callees.windows(callee, moved)):
                        yield from self._writes(callee.body)
                case Let(name=name, value=value) if name in used:
                    self.frame.replaced[name] = self.frame.resolve(value)
                case Store(target=target):
                    yield from self.memory.register_units(target)
                case Accumulate(targets=targets):
                    for target in targets:
                        yield from self.memory.register_units(target)

    def _register_variables(self, body: Block) -> frozenset[str] | None:
        """The variables that index registers which a block writes; None if it writes none."""
        in_registers = [
            ref for ref in written_refs(body, self.callees)
            if self.frame.buffer_of(ref.buffer).space is Space.REGISTER
        ]
        if not in_registers:
            return None
        return frozenset().union(*(vars_of(part) for ref in in_registers for part in ref.indices))

    def _loop_writes(self, loop: Loop, used: frozenset[str]) -> Iterator[Key]:
        frame = self.frame
        if loop.axis not in used:
            yield from self._writes(loop.body)
            return
        start, stop = (
            frame.constant(limit, f"the limit of '{loop.axis}', which indexes registers,")
            for limit in (loop.start, loop.stop)
        )
        if loop.kind is Kind.VECTOR:
            with frame.along(VectorAxis(loop.axis, start, stop - start)):
                yield from self._writes(loop.body)
            return
        frame.bounds[loop.axis] = (start, stop - 1)
        for value in range(start, stop):
            frame.replaced[loop.axis] = index(value)
            yield from self._writes(loop.body)
        frame.replaced.pop(loop.axis, None)
