"""Masks whose lanes are known when code is written, and loads and stores of the lanes that a mask
has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import and_, or_, xor
from types import MappingProxyType

from ....types import DType, bool_
from ..text.scopes import ScopedText, Value, memory_type, suffix

_OPERATORS: Mapping[str, Callable[[bool, bool], bool]] = MappingProxyType(
    {"and": and_, "or": or_, "xor": xor}
)


def known_mask(flags: Iterable[bool]) -> Value:
    """The mask with these lanes."""
    text = [f"i1 {str(flag).lower()}" for flag in flags]
    return Value(f"<{', '.join(text)}>", bool_, len(text))


def known_flags(mask: Value) -> list[bool] | None:
    """The lanes of a mask that is written out; None for one that is computed."""
    if mask.number is not None:
        return [bool(mask.number)] * mask.lanes
    if not mask.name.startswith("<i1 "):
        return None
    return [flag.endswith("true") for flag in mask.name.strip("<>").split(", ")]


def joined_masks(opcode: str, a: Value, b: Value) -> Value | None:
    """Two known masks joined; None where one is computed, or they are no masks."""
    if a.dtype != bool_ or a.lanes == 1 or opcode not in _OPERATORS:
        return None
    ours, theirs = known_flags(a), known_flags(b)
    if ours is None or theirs is None:
        return None
    return known_mask(map(_OPERATORS[opcode], ours, theirs))


def hidden_mask(out: ScopedText, mask: Value) -> Value:
    """A known mask of whole bytes whose lanes LLVM is not told; others as they are.

    LLVM 22 makes a blend of a `select` by lanes that it knows, before it looks for instructions
    that take a mask: a product and sum, and then a blend, instead of one instruction.
    """
    flags = known_flags(mask)
    if flags is None or len(set(flags)) == 1 or mask.lanes % 8:
        return mask
    kind, bits = f"i{mask.lanes}", sum(flag << lane for lane, flag in enumerate(flags))
    with out.hoisted(0):
        number = out.define(f'call {kind} asm "", "=r,0"({kind} {bits})')
        return Value(out.define(f"bitcast {kind} {number} to {mask.type}"), bool_, mask.lanes)


def masked_store(out: ScopedText, raw: str, pointer: str, dtype: DType, mask: Value) -> None:
    """Store the elements of the vector `raw` that are in the mask.

    A single lane that is known is stored by itself. LLVM would do so too, but 22 makes of a vector
    that was truncated (i32 to i16, say) a store as wide as it was before: over what comes after.
    """
    kind, flags = memory_type(dtype, mask.lanes), known_flags(mask)
    if flags is not None and sum(flags) == 1:
        lane, element = flags.index(True), memory_type(dtype)
        one = out.define(f"extractelement {kind} {raw}, i32 {lane}")
        place = out.define(f"getelementptr {element}, ptr {pointer}, i64 {lane}")
        out.line(f"store {element} {one}, ptr {place}, align {dtype.bytes}")
        return
    name = f"llvm.masked.store.{suffix(kind)}.p0"
    out.declare(f"declare void @{name}({kind}, ptr, i32, {mask.type})")
    out.line(f"call void @{name}({kind} {raw}, ptr {pointer}, i32 {dtype.bytes}, {mask})")


def fenced(out: ScopedText, raw: str, kind: str, size: int) -> str:
    """A masked load's result, kept apart from the arithmetic on it.

    LLVM 22 folds a masked load into a masked instruction on memory (whose lanes that are off
    cannot fault), and may then take the load out again without its mask.
    """
    is_float = "float" in kind or "double" in kind
    if size % 4:
        return raw
    fence = kind if is_float else f"<{size // 4} x float>"
    value = raw if is_float else out.define(f"bitcast {kind} {raw} to {fence}")
    name = f"llvm.arithmetic.fence.{suffix(fence)}"
    out.declare(f"declare {fence} @{name}({fence})")
    value = out.define_anew(f"call {fence} @{name}({fence} {value})")
    return value if is_float else out.define(f"bitcast {fence} {value} to {kind}")


def masked_gather(out: ScopedText, base: str, places: Value, dtype: DType, mask: Value) -> str:
    """The elements at these places from `base` on of the lanes in the mask, zero in the others."""
    kind = memory_type(dtype, mask.lanes)
    pointers = out.define(f"getelementptr {memory_type(dtype)}, ptr {base}, {places}")
    name, addresses = f"llvm.masked.gather.{suffix(kind)}.v{mask.lanes}p0", f"<{mask.lanes} x ptr>"
    out.declare(f"declare {kind} @{name}({addresses}, i32, {mask.type}, {kind})")
    given = f"{addresses} {pointers}, i32 {dtype.bytes}, {mask}, {kind} zeroinitializer"
    return out.define_anew(f"call {kind} @{name}({given})")
