"""Loads and stores: whether the lanes lie side by side, and what must be masked.

An access whose limits prove it in range is never masked. Elsewhere a vector access takes a mask,
and a scalar load goes to the buffer's start where it must not happen: its value is not used there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from ....errors import UnsupportedError
from ....expr import Expr, Load, index, vars_of
from ....tile.nodes import Ref, Space
from ....types import i32
from ..scalars.convert import from_memory, to_memory
from ..scalars.masks import fenced, hidden_mask, known_mask, masked_gather, masked_store
from ..text.builder import vector_type
from ..text.scopes import Value, literal, memory_type, suffix
from .address import Access, Addresses
from .frame import Frame
from .registers import Key, Registers, gathered

_VECTORS = (16, 32, 64)  # bytes of the vectors that nontemporal stores write


@dataclass
class Memory:
    """Emits loads and stores; `versions` counts the stores that a buffer's loads may have seen."""

    frame: Frame
    addresses: Addresses
    registers: Registers
    aliased: frozenset[str]  # parameters whose memory another one may write
    versions: dict[str, int] = field(default_factory=dict)
    past_caches: bool = False  # whether a store went there, which other threads see late

    def load(self, load: Load) -> Value:
        """The value of a load; a vector where its index differs by lane."""
        access = self.addresses.access(load.buffer, load.indices)
        if access.step is None or (access.step not in (0, 1) and not self._in_registers(access)):
            return self._gather(load)
        if self._in_registers(access):
            return self.registers.read(access.buffer.name, self._elements(access))
        if access.buffer.elements == 0:
            return literal(0, load.dtype, self._lanes(access))
        guard = None if access.in_range else self.frame.guard
        key = (
            access.buffer.name,
            tuple(access.offset.items()),
            access.step,
            self.frame.lane if guard is not None or self._is_named_by_lane(access) else None,
            None if guard is None else guard.name,
            self.versions.get(access.buffer.name, 0),
        )
        return self._once(key, lambda: self._load(access, guard))

    def _is_named_by_lane(self, access: Access) -> bool:
        """Whether one name stands for another index in each lane."""
        return any(
            self.frame.differs_by_lane(name)
            for term in access.offset
            if term is not None
            for name in vars_of(term)
        )

    def _once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` loads, unless that was loaded before and holds still."""
        for scope in reversed(self.frame.out.scopes):
            if key in scope.loads:
                return scope.loads[key]
        value = self.frame.out.scopes[-1].loads[key] = make()
        return value

    def _load(self, access: Access, guard: Value | None) -> Value:
        frame, dtype, lanes = self.frame, access.buffer.dtype, self._lanes(access)
        kind, pointer = memory_type(dtype, lanes), self.addresses.pointer(access)
        if guard is not None and lanes > 1 and (guard.lanes > 1 or access.buffer.elements < lanes):
            raw = self._masked_load(access, pointer, guard)
            return from_memory(frame.out, raw, dtype, lanes, native_half=frame.scalars.modern)
        if guard is not None:
            base = frame.pointers[access.buffer.name]
            active = frame.scalar_guard()
            pointer = frame.out.define(f"select {active}, ptr {pointer}, ptr {base}")
        raw = frame.out.define_anew(f"load {kind}, ptr {pointer}, align {dtype.bytes}")
        return from_memory(frame.out, raw, dtype, lanes, native_half=frame.scalars.modern)

    def _masked_load(self, access: Access, pointer: str, guard: Value) -> str:
        """The lanes that run, zero in the others."""
        frame, dtype, lanes = self.frame, access.buffer.dtype, self._lanes(access)
        kind = memory_type(dtype, lanes)
        mask = frame.scalars.spread(guard, lanes)
        align, rest = f"i32 {dtype.bytes}", f"{kind} zeroinitializer"
        name = f"llvm.masked.load.{suffix(kind)}.p0"
        frame.out.declare(f"declare {kind} @{name}(ptr, i32, {mask.type}, {kind})")
        raw = frame.out.define_anew(f"call {kind} @{name}(ptr {pointer}, {align}, {mask}, {rest})")
        return fenced(frame.out, raw, kind, dtype.bytes * lanes)

    def _gather(self, load: Load) -> Value:
        axis = self.frame.vector
        assert axis is not None
        mask = self._mask_of_gather(load)
        if mask is not None:
            access, out = self.addresses.access(load.buffer, load.indices), self.frame.out
            base, dtype = self.frame.pointers[access.buffer.name], access.buffer.dtype
            places = self.addresses.indices.vector(access.offset)
            raw = masked_gather(out, base, places, dtype, mask)
            return from_memory(out, raw, dtype, axis.lanes, native_half=self.frame.scalars.modern)
        lanes = []
        for lane in range(axis.lanes):
            with self.frame.at_lane(lane):
                lanes.append(self.load(load))
        return gathered(self.frame.out, lanes)

    def _mask_of_gather(self, load: Load) -> Value | None:
        """The mask of lanes that one instruction reads, wherever they lie; None where it cannot, or
        all may be read, which takes less time one by one."""
        access, guard = self.addresses.access(load.buffer, load.indices), self.frame.guard
        words = self.frame.masked_bytes and access.buffer.dtype.bytes in (4, 8)
        if guard is None or access.in_range or not (words and access.buffer.elements):
            return None
        anywhere = guard.lanes > 1 and access.step is None and not self._in_registers(access)
        return guard if anywhere else None

    def words(self, name: str, at: tuple[Expr, ...], count: int) -> Value | None:
        """The 32-bit words `buffer[*at, 0..count]` of all lanes; None unless the elements of a
        word lie side by side and the words do so, too, or are all the same one."""
        access = self.addresses.access(name, (*at, index(0)))
        following = self.addresses.access(name, (*at, index(1)))
        expected = {None: 0, **access.offset}
        expected[None] += 1
        apart = following.offset != expected or access.step not in (0, count)
        if apart or self._in_registers(access):
            return None
        version = self.versions.get(access.buffer.name, 0)
        key = ("words", access.buffer.name, tuple(access.offset.items()), access.step, version)
        return self._once(key, lambda: self._words(access))

    def _words(self, access: Access) -> Value:
        lanes = self._lanes(access)
        kind, align = vector_type("i32", lanes), access.buffer.dtype.bytes
        pointer = self.addresses.pointer(access)
        raw = self.frame.out.define_anew(f"load {kind}, ptr {pointer}, align {align}")
        return self.frame.scalars.spread(Value(raw, i32, lanes), self._vector_lanes())

    def store(self, target: Ref, value: Value, *, nontemporal: bool = False) -> None:
        """Write a value; one that differs by lane needs a target that does, too."""
        access = self.addresses.access(target.buffer, target.indices)
        lanes = 1 if access.step == 0 else self._vector_lanes()
        if value.lanes > lanes:
            raise UnsupportedError(
                f"lanes with different values are stored to one element of '{target.buffer}'"
            )
        value = self.frame.scalars.spread(value, lanes)
        if self._in_registers(access):
            self._write_registers(access, value)
            return
        if access.buffer.elements == 0:
            return
        if access.step in (0, 1):
            self._store(access, self._raw(value), lanes, nontemporal=nontemporal)
        elif self._fits_spread(access, lanes):
            self._store_spread(access, self._raw(value), lanes)
        else:
            self._scatter(target, self._raw(value), lanes)
        self.touch(access.buffer.name)

    def register_units(self, target: Ref) -> tuple[Key, ...]:
        """The units of a register buffer that a write to `target` changes; none for memory."""
        if self.frame.buffer_of(target.buffer).space is not Space.REGISTER:
            return ()
        access = self.addresses.access(target.buffer, target.indices)
        return self.registers.keys(access.buffer.name, self._elements(access))

    def touch(self, buffer: str) -> None:
        """Forget what was loaded from memory that a store may have changed."""
        for name in sorted(self.aliased) if buffer in self.aliased else (buffer,):
            self.versions[name] = self.versions.get(name, 0) + 1

    def _raw(self, value: Value) -> str:
        """A value as memory holds it, all lanes at once."""
        return to_memory(self.frame.out, value, native_half=self.frame.scalars.modern)

    def _store(self, access: Access, raw: str, lanes: int, *, nontemporal: bool = False) -> None:
        frame, dtype = self.frame, access.buffer.dtype
        kind = memory_type(dtype, lanes)
        pointer = self.addresses.pointer(access)
        store = f"store {kind} {raw}, ptr {pointer}, align {dtype.bytes}"
        guard = frame.guard
        size = dtype.bytes * lanes
        if guard is None and nontemporal and lanes > 1 and size in _VECTORS:
            self._store_past_caches(f"store {kind} {raw}, ptr {pointer}", pointer, size, store)
        elif guard is None:
            frame.out.line(store)
        elif lanes == 1:
            active = frame.scalar_guard()
            assert active is not None
            self._where(active, store)
        else:
            mask = frame.scalars.spread(guard, lanes)
            masked_store(frame.out, raw, pointer, dtype, mask)

    def _fits_spread(self, access: Access, lanes: int) -> bool:
        """Whether lanes that lie a few elements apart fit one vector with what is between them."""
        count = lanes * (access.step or 0)
        whole = count > 0 and count & (count - 1) == 0
        return self.frame.guard is None and whole and (
            count * access.buffer.dtype.bytes <= self.frame.masked_bytes
        )

    def _store_spread(self, access: Access, raw: str, lanes: int) -> None:
        """Store lanes that lie a few elements apart in one vector, which leaves alone what is
        between them."""
        out, dtype, step = self.frame.out, access.buffer.dtype, access.step or 1
        count = lanes * step
        kind = memory_type(dtype, lanes)
        given = [place % step == 0 for place in range(count)]
        order = ", ".join(f"i32 {place // step if ours else 0}" for place, ours in enumerate(given))
        spread = out.define(f"shufflevector {kind} {raw}, {kind} poison, <{count} x i32> <{order}>")
        masked_store(out, spread, self.addresses.pointer(access), dtype, known_mask(given))

    def _scatter(self, target: Ref, raw: str, lanes: int) -> None:
        kind = memory_type(self.frame.buffer_of(target.buffer).dtype, lanes)
        for lane in range(lanes):
            element = self.frame.out.define(f"extractelement {kind} {raw}, i32 {lane}")
            with self.frame.at_lane(lane):
                self._store(self.addresses.access(target.buffer, target.indices), element, 1)

    def _store_past_caches(self, store: str, pointer: str, size: int, ordinary: str) -> None:
        """A nontemporal store of a whole vector; an ordinary one at an address that is not a
        multiple of the vector, where the machine has none."""
        out = self.frame.out
        address = out.define(f"ptrtoint ptr {pointer} to i64")
        low = out.define(f"and i64 {address}, {size - 1}")
        aligned = out.define(f"icmp eq i64 {low}, 0")
        past, through, done = out.label("past"), out.label("through"), out.label("done")
        out.line(f"br i1 {aligned}, label %{past}, label %{through}")
        out.start_block(past)
        out.line(f"{store}, align {size}, !nontemporal !{{i32 1}}")
        out.line(f"br label %{done}")
        out.start_block(through)
        out.line(ordinary)
        out.line(f"br label %{done}")
        out.start_block(done)
        self.past_caches = True

    def _where(self, active: Value, line: str) -> None:
        """Branch around one line."""
        out = self.frame.out
        then, done = out.label("then"), out.label("done")
        out.line(f"br {active}, label %{then}, label %{done}")
        out.start_block(then)
        out.line(line)
        out.line(f"br label %{done}")
        out.start_block(done)

    def _write_registers(self, access: Access, value: Value) -> None:
        name, elements = access.buffer.name, self._elements(access)
        guard = self.frame.guard
        if guard is not None:
            old = self.registers.read(name, elements)
            if value.lanes == 1:
                guard = self.frame.scalar_guard()
                assert guard is not None
            elif self._has_masks(value):
                guard = hidden_mask(self.frame.out, guard)
            value = self.frame.scalars.select(guard, value, old)
        self.registers.write(name, elements, value)

    def _has_masks(self, value: Value) -> bool:
        """Whether the target's instructions on such vectors of floats take masks."""
        whole = value.lanes * value.dtype.bytes == self.frame.masked_bytes
        return whole and value.dtype.is_float and value.dtype.bytes >= 4

    def _elements(self, access: Access) -> range:
        """The elements of a register buffer that an access means."""
        if any(term is not None for term in access.offset) or access.step is None:
            raise UnsupportedError(
                f"an index of the register buffer '{access.buffer.name}' is not constant after "
                "unrolling"
            )
        first, step = access.offset.get(None, 0), access.step
        return range(first, first + 1) if step == 0 else range(
            first, first + step * self._vector_lanes(), step
        )

    def _in_registers(self, access: Access) -> bool:
        return access.buffer.space is Space.REGISTER

    def address(self, name: str, at: tuple[Expr, ...]) -> str:
        """The address of an element, in range or not."""
        return self.addresses.pointer(self.addresses.access(name, at))

    def _lanes(self, access: Access) -> int:
        return 1 if access.step == 0 else self._vector_lanes()

    def _vector_lanes(self) -> int:
        assert self.frame.vector is not None
        return self.frame.vector.lanes
