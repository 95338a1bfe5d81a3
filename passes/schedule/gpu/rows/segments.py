"""Kernels of rows cut where a sum ends, into nests that pass on what is known of each row; sums
themselves in pieces.

    for i: {acc = 0;  for k in 0..n: acc += x[i, k];  m = acc / n;  for j: y[i, j] = x[i, j] - m}
      ->  for i: for c: {piece = 0;  for k: piece += x[i, c * size + k];  partial[i, c] = piece}
          for i: {acc = 0;  for c: acc += partial[i, c];  m = acc / n;  known[i] = m}
          for i: for j: y[i, j] = x[i, j] - known[i]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from .....expr import COMBINERS, Expr, Load, const, rewrite_expr
from .....tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Stmt, Store
from .....tile.traverse import loads_within, rewrite_block, walk
from .....tile.tree import Names, copy_block, extent_of, nest, tidy, var
from ..block.sums import with_update
from ..work import body_of


@dataclass(frozen=True)
class Pieces:
    """A sum in pieces: `loops` over them, and the sum over what is in one."""

    loops: tuple[Loop, ...]
    inner: Loop


@dataclass
class _Segment:
    """Statements on what is known of a row, from one sum on until another needs what they gave."""

    body: list[Stmt] = field(default_factory=list)
    registers: dict[str, Buffer] = field(default_factory=dict)  # by the name of the row's own
    saved: dict[str, Buffer] = field(default_factory=dict)  # for others, by the same


@dataclass
class Segments:
    """The work of cutting a kernel whose `loops` are over rows: the nests so far, of which those of
    segments are yet to be made."""

    original: Kernel
    loops: list[Loop]
    names: Names
    cut: Callable[[Loop], Pieces]
    nests: list[Stmt | _Segment] = field(default_factory=list)
    locals: list[Buffer] = field(default_factory=list)
    open: _Segment = field(default_factory=_Segment)
    closed: dict[str, _Segment] = field(default_factory=dict)  # that wrote a register last

    def kernel(self) -> Kernel:
        """The nests, each of which is a launch."""
        for stmt in body_of(self.original, self.loops):
            match stmt:
                case Loop():
                    self._loop(stmt)
                case Store():
                    self.open.body.append(self._on_registers(stmt))
        self._close()
        body = tuple(part for found in self.nests for part in self._nest(found))
        return tidy(replace(self.original, body=body, locals=tuple(self.locals)))

    @property
    def _at(self) -> tuple[Expr, ...]:
        """The place of a row."""
        return _places(self.loops)

    def _local(self, name: str, space: Space, *more: Loop, label: str = "") -> Buffer:
        """A register like another, or memory with one for each row."""
        like = self.original.buffers[name]
        loops = (*self.loops, *more) if space is Space.SHARED else ()
        made = Buffer(
            self.names.fresh(label or name, "_"), like.dtype, tuple(map(extent_of, loops)), space
        )
        self.locals.append(made)
        return made

    # Segments

    def _close(self) -> None:
        """End the open segment, if there is anything in it."""
        if self.open.body:
            self.nests.append(self.open)
            self.closed.update(dict.fromkeys(self.open.registers, self.open))
            self.open = _Segment()

    def _nest(self, found: Stmt | _Segment) -> Block:
        if not isinstance(found, _Segment):
            return (found,)
        saves = (
            Store(Ref(buffer.name, self._at), _loaded(found.registers[name]))
            for name, buffer in found.saved.items()
        )
        return copy_block(nest(self.loops, (*found.body, *saves)), self.names)

    def _known(self, node: Expr) -> Expr | None:
        """A register as it is now: of the open segment, or as one before has saved it."""
        name = node.buffer if isinstance(node, Load) else ""
        if name in self.open.registers:
            return _loaded(self.open.registers[name])
        if name not in self.closed:
            return None
        segment = self.closed[name]
        if name not in segment.saved:
            segment.saved[name] = self._local(name, Space.SHARED)
        return Load(segment.saved[name].dtype, segment.saved[name].name, self._at)

    def _on_registers(self, store: Store) -> Stmt:
        """A statement of the open segment, on its own registers."""
        value, name = rewrite_expr(store.value, self._known), store.target.buffer
        if name in self.original.outputs:
            return replace(store, value=value)
        return Store(Ref(self._register(name).name, ()), value)

    def _register(self, name: str) -> Buffer:
        """The open segment's copy of a register."""
        own = self.open.registers
        if name not in own:
            own[name] = self._local(name, Space.REGISTER)
        return own[name]

    # Loops

    def _loop(self, loop: Loop) -> None:
        read = {load.buffer for load in loads_within(loop.body)}
        if not read.isdisjoint(self.open.registers):
            self._close()
        (changed,) = rewrite_block((loop,), self._known)
        assert isinstance(changed, Loop)
        if any(isinstance(stmt, Accumulate) for stmt in walk(loop.body)):
            self._sum(self.cut(changed))
        else:
            self.nests += copy_block(nest(self.loops, (changed,)), self.names)

    def _sum(self, pieces: Pieces) -> None:
        """A nest that sums up pieces, and the sum of what they gave in the open segment."""
        (update,) = [stmt for stmt in walk(pieces.inner.body) if isinstance(stmt, Accumulate)]
        old = [ref.buffer for ref in update.targets]
        piece = [self._local(name, Space.REGISTER, label="piece") for name in old]
        partial = [
            self._local(name, Space.SHARED, *pieces.loops, label="partial") for name in old
        ]
        at = (*self._at, *_places(pieces.loops))
        own = (
            *_starts(update.combiner, piece),
            with_update(pieces.inner, replace(update, targets=_refs(piece))),
            *(
                Store(Ref(to.name, at), _loaded(part))
                for part, to in zip(piece, partial, strict=True)
            ),
        )
        self.nests += copy_block(nest([*self.loops, *pieces.loops], own), self.names)
        for name in old:
            if name not in self.open.registers:
                before = self._known(Load(self.original.buffers[name].dtype, name, ()))
                assert before is not None  # it begins as something
                self.open.body.append(Store(Ref(self._register(name).name, ()), before))
        values = tuple(Load(part.dtype, part.name, at) for part in partial)
        joined = Accumulate(update.combiner, _refs(map(self._register, old)), values)
        self.open.body += copy_block(nest(list(pieces.loops), (joined,)), self.names)


def _places(loops: Iterable[Loop]) -> tuple[Expr, ...]:
    return tuple(var(loop.axis) - loop.start for loop in loops)


def _starts(combiner: str, registers: list[Buffer]) -> Block:
    identities = COMBINERS[combiner].identity
    return tuple(
        Store(Ref(one.name, ()), const(identity(one.dtype), one.dtype))
        for identity, one in zip(identities, registers, strict=True)
    )


def _refs(registers: Iterable[Buffer]) -> tuple[Ref, ...]:
    return tuple(Ref(one.name, ()) for one in registers)


def _loaded(register: Buffer) -> Load:
    return Load(register.dtype, register.name, ())
