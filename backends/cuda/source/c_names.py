"""Names and types of C++: what loops, buffers and element types are called in the source."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ....tile.nodes import Block, Buffer, Kind, Let, Loop, Space
from ....tile.traverse import blocks_of
from ....tile.tree import base
from ....types import DType

# What a value of an element type is in a variable, and what an element of it is in memory.
_VALUES: Mapping[str, str] = {
    "f64": "double",
    "f32": "float",
    "f16": "float",
    "bf16": "float",
    "i64": "long long",
    "i32": "int",
    "i16": "short",
    "i8": "signed char",
    "u8": "unsigned char",
    "bool": "bool",
}
_ELEMENTS: Mapping[str, str] = {
    **_VALUES,
    "f16": "unsigned short",
    "bf16": "unsigned short",
    "bool": "unsigned char",
}
_RESERVED = """
alignas alignof and asm auto bitand bitor bool break case catch char class compl const
continue default delete do double else enum explicit export extern false float for friend
goto if inline int long mutable namespace new not nullptr operator or private protected
public register return short signed sizeof static struct switch template this throw true try
typedef typeid typename union unsigned using virtual void volatile wchar_t while xor exp
exp2 expm1 log log1p log2 log10 sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh
atanh erf erfc floor ceil trunc rint round fabs abs fmod pow fma sqrt min max y0 y1 yn j0 j1
jn gamma isnan isinf blockIdx threadIdx blockDim gridDim warpSize index select join time
signal remove rename div
"""
_WORDS = frozenset(re.findall(r"\w+", _RESERVED))


def identifier(name: str) -> str:
    """A name as C++ takes it: `m.o$1` is `m_o_1`, `0.weight` is `n0_weight`."""
    word = re.sub(r"\W", "_", name)
    if word[:1].isdigit():
        return f"n{word}"
    return f"{word}_" if word in _WORDS else word


def identifiers(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A C++ name for each of these names, no two alike."""
    found: dict[str, str] = {}
    used = set(taken)
    for name in names:
        found[name] = free_identifier(name, used)
        used.add(found[name])
    return found


def free_identifier(name: str, used: Collection[str]) -> str:
    """A C++ name that is not used: `part_$1` is `part`, else `part_`, `part_1`, `part_2`, …"""
    whole = identifier(re.sub(r"__\d+$", "_", base(name)))
    stem = identifier(whole.rstrip("_")) if whole.strip("_") else whole
    numbered = (f"{stem}_{count}" for count in itertools.count(1))
    return next(word for word in itertools.chain((stem, whole), numbered) if word not in used)


def scoped_identifiers(body: Block, taken: Iterable[str]) -> dict[str, str]:
    """C++ names for the axes and names in a body: as in C++, those of one loop are free again
    after it. Loops over lanes have no names."""
    found: dict[str, str] = {}

    def visit(block: Block, used: set[str]) -> None:
        for stmt in block:
            if isinstance(stmt, Loop) and stmt.kind is Kind.LANE:
                visit(stmt.body, used)
                continue
            if isinstance(stmt, Let):
                found[stmt.name] = free_identifier(stmt.name, used)
                used.add(found[stmt.name])
            inside = set(used)
            if isinstance(stmt, Loop):
                found[stmt.axis] = free_identifier(stmt.axis, used)
                inside.add(found[stmt.axis])
            for inner in blocks_of(stmt):
                visit(inner, set(inside))

    visit(body, set(taken))
    return found


def value_type(dtype: DType) -> str:
    """The C++ type of a variable of an element type; f16 and bf16 are computed in float."""
    return _VALUES[dtype.name]


def element_type(dtype: DType) -> str:
    """The C++ type of an element in memory."""
    return _ELEMENTS[dtype.name]


def is_in_registers(buffer: Buffer) -> bool:
    """Whether threads hold a buffer in registers, each its own or a fragment of a tile."""
    return buffer.space in (Space.REGISTER, Space.FRAGMENT)


def buffer_type(buffer: Buffer) -> str:
    """The C++ type of the elements of a buffer: in registers lie values, in those of fragments
    narrow neighbours as they are in memory, as many as fit."""
    if is_packed(buffer):
        return "unsigned"
    return value_type(buffer.dtype) if is_in_registers(buffer) else element_type(buffer.dtype)


def is_packed(buffer: Buffer) -> bool:
    """Whether a lane's registers of a fragment hold several elements each."""
    return buffer.space is Space.FRAGMENT and elements_of_register(buffer) > 1


def elements_of_register(buffer: Buffer) -> int:
    """How many elements of a fragment one register of a lane holds."""
    return max(1, min(4 // buffer.dtype.bytes, buffer.shape[-1]))


def registers_of_lane(buffer: Buffer) -> int:
    """How many registers each lane has of a fragment."""
    return buffer.elements // (buffer.shape[-2] * elements_of_register(buffer))


def literal(value: int | float | bool, dtype: DType) -> str:
    """A number in C++."""
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.is_integer:
        return _integer(int(value), dtype)
    number = float(value) if dtype.name == "f64" else float(np.float32(value))
    suffix = "" if dtype.name == "f64" else "f"
    if not np.isfinite(number):
        wide = "(double)" if dtype.name == "f64" else ""
        name = "not_a_number" if number != number else "infinity"
        return f"{'-' if number < 0 else ''}{wide}{name}()"
    exact = np.float64(number) if dtype.name == "f64" else np.float32(number)
    positional = np.format_float_positional(exact, trim="0")
    scientific = np.format_float_scientific(exact, trim="0")
    short = positional if len(positional) <= len(scientific) + 4 else scientific
    return f"{short}{suffix}"


def _integer(value: int, dtype: DType) -> str:
    if value == -(2**63):
        return "(-9223372036854775807LL - 1)"
    if value == -(2**31) and dtype.bits == 32:
        return "(-2147483647 - 1)"
    return str(value) if -(2**31) < value < 2**31 else f"{value}LL"
