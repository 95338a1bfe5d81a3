"""Building LLVM text: the lines of one function, the names in it, types and literals."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal

FloatType = Literal["f32", "f64"]


@dataclass
class LlvmText:
    """The body of one LLVM function while it grows; names count up from `%t0`.

    `fma` says that the target has a fused multiply-add instruction; where it has none, `llvm.fma`
    would become a call into libm. `avx512` says that it has AVX-512's instructions for vectors of
    64 bytes, `halves` that it rounds one to bf16 in one instruction (AVX-512 BF16).
    """

    fma: bool = True
    avx512: bool = False
    halves: bool = False
    lines: list[str] = field(default_factory=list)
    declarations: set[str] = field(default_factory=set)
    block: str = "entry"  # the basic block that new lines are in
    _names: int = 0
    _labels: int = 0

    def line(self, text: str) -> None:
        self.lines.append(text)

    def name(self) -> str:
        self._names += 1
        return f"%t{self._names - 1}"

    def declare(self, declaration: str) -> None:
        self.declarations.add(declaration)

    def define(self, expression: str) -> str:
        """Append `%t = expression` and return its name."""
        return self.define_anew(expression)

    def define_anew(self, expression: str) -> str:
        """As `define`, of an instruction that must not be shared: a load, an atomic."""
        name = self.name()
        self.line(f"{name} = {expression}")
        return name

    def label(self, kind: str) -> str:
        self._labels += 1
        return f"{kind}{self._labels - 1}"

    def start_block(self, label: str) -> None:
        self.line(f"{label}:")
        self.block = label

    def unless_rare(self, rare: str, kind: str, usual: str, call: str) -> str:
        """The value `usual` of the type `kind`, or that of a pure `call`, which gives the same
        unless the condition `rare` holds: a branch leads around it."""
        before, calling, done = self.block, self.label("rare"), self.label("usual")
        self.line(f"br i1 {rare}, label %{calling}, label %{done}")
        self.start_block(calling)
        called = self.define_anew(call)
        self.line(f"br label %{done}")
        self.start_block(done)
        return self.define_anew(f"phi {kind} [ {usual}, %{before} ], [ {called}, %{calling} ]")


def float_bits(value: float, dtype: FloatType) -> int:
    """The bit pattern of `value`, rounded to `dtype`."""
    if dtype == "f64":
        return int(struct.unpack("<Q", struct.pack("<d", value))[0])
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def splat(literal: str, element: str, width: int) -> str:
    """The literal in all lanes."""
    return literal if width == 1 else f"splat ({element} {literal})"


def constant(value: float, dtype: FloatType, width: int) -> str:
    """An LLVM literal of `width` equal numbers, rounded to `dtype`.

    Raises OverflowError where a finite value exceeds the largest f32.
    """
    if dtype == "f32":  # LLVM writes a float as the double of the same value
        value = float(struct.unpack("<f", struct.pack("<f", value))[0])
    return splat(f"0x{float_bits(value, 'f64'):016X}", element_type(dtype), width)


def element_type(dtype: FloatType) -> str:
    """`float` or `double`."""
    return "float" if dtype == "f32" else "double"


def vector_type(element: str, width: int) -> str:
    """`float`, or `<16 x float>`."""
    return element if width == 1 else f"<{width} x {element}>"
