"""Emission rules of the machine instructions of `tile/instructions`.

Where the machine has no such instruction, or the operands do not lie as it wants them, the loops
that say its meaning are emitted in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....expr import INDEX, Load, Var, index
from ....tile.instructions.table import INSTRUCTIONS, LANES, PREFETCHES_SOON
from ....tile.nodes import Proc, Ref
from ..machine.machine import Machine
from ..text.scopes import Value, register_type
from .expr import Evaluator
from .frame import VectorAxis


@dataclass(frozen=True)
class DotRule:
    """`acc[lane] += sum over q of a[q] * b[lane, q]`: an intrinsic on 32-bit lanes.

    `feature` is LLVM's name of what the machine must have; `operands` the type the intrinsic
    gives the 64 bytes of each factor.
    """

    feature: str
    intrinsic: str
    operands: str


RULES: Mapping[str, DotRule] = {
    "vpdpbusd": DotRule("avx512vnni", "llvm.x86.avx512.vpdpbusd.512", "<64 x i8>"),
    "vpdpbf16ps": DotRule("avx512bf16", "llvm.x86.avx512bf16.dpbf16ps.512", "<32 x bfloat>"),
}

# Without an effect on values: they only ask for memory, which every machine can.
REQUESTS = frozenset(name for name, known in INSTRUCTIONS.items() if not known.semantics.body)


def native_instructions(machine: Machine) -> frozenset[str]:
    """The instructions that a machine says it has."""
    features = frozenset(machine.features.split(","))
    return frozenset(name for name, rule in RULES.items() if f"+{rule.feature}" in features)


def emit_dot(rule: DotRule, callee: Proc, evaluator: Evaluator) -> bool:
    """Emit the instruction on the windows at hand; False where the operands do not fit it."""
    frame, memory, out = evaluator.frame, evaluator.memory, evaluator.frame.out
    if frame.guard is not None or frame.vector is not None:
        return False
    acc, *factors = callee.params
    lane = Var(INDEX, f"{callee.name}@lane")
    with frame.along(VectorAxis(lane.name, 0, LANES)):
        words = [
            memory.words(factor.name, (lane,) * (len(factor.shape) - 1), factor.shape[-1])
            for factor in factors
        ]
        if any(word is None for word in words):
            return False
        total = memory.load(Load(acc.dtype, acc.name, (lane,)))
        kind = register_type(acc.dtype, LANES)
        parts = [
            f"{rule.operands} " + out.define(f"bitcast {word} to {rule.operands}")
            for word in words
        ]
        name = out.call(kind, rule.intrinsic, f"{kind} {total.name}", *parts)
        memory.store(Ref(acc.name, (lane,)), Value(name, acc.dtype, LANES))
    return True


def emit_prefetch(callee: Proc, evaluator: Evaluator) -> None:
    """Ask for the line of the one element that the window at hand begins with."""
    (line,) = callee.params
    pointer = evaluator.memory.address(line.name, (index(0),))
    out = evaluator.frame.out
    out.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    nearest = 3 if callee.name in PREFETCHES_SOON else 2  # or the second cache; for reading
    out.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 {nearest}, i32 1)")
