"""Registers of narrow floats that need not hold their values: those whose elements are only moved
hold bits, as memory does, and what is only stored need not be rounded before that rounds it.

    call load(x_[0], x[p]);  y_[e] = x_[e];  call store(y[p], y_[0])   both hold bits
    y_[e] = bf16(x_[e] * 2.0);  call store(y[p], y_[0])   y_ is rounded as it is stored
"""

from __future__ import annotations

from dataclasses import dataclass

from ....expr import Load
from ....expr.traverse import loads_of
from ....tile.nodes import Accumulate, Call, Kernel, Space, Store
from ....tile.traverse import expressions_of, walk
from .operators import ROUNDINGS


@dataclass(frozen=True)
class Moves:
    """The registers that hold `bits`, and those that are `stored` and read by nothing else."""

    bits: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()

    @staticmethod
    def of(kernel: Kernel) -> Moves:
        narrow = {
            name for name, buffer in kernel.buffers.items() if buffer.dtype.name in ROUNDINGS
        }
        own = {name for name in narrow if kernel.buffers[name].space is Space.REGISTER}
        read: set[str] = set()  # otherwise than by stores of several elements
        computed: set[str] = set()  # or what is computed is written there
        pairs: list[tuple[str, str]] = []
        for stmt in walk(kernel.body):
            match stmt:
                case Store(target=target, value=Load() as moved) if moved.dtype.name in ROUNDINGS:
                    pairs.append((moved.buffer, target.buffer))
                    read |= {
                        load.buffer for index in moved.indices for load in loads_of(index)
                    }
                    continue
                case Store(target=target):
                    computed.add(target.buffer)
                case Accumulate(targets=targets):
                    computed |= {target.buffer for target in targets}
                    read |= {target.buffer for target in targets}
                case Call(callee=callee, windows=(_, source)) if callee.startswith("store_"):
                    pass
                case Call(callee=callee, windows=(_, source)) if callee.startswith("load_"):
                    read.add(source.buffer)
                case Call(windows=windows):
                    read |= {window.buffer for window in windows}
                    computed |= {window.buffer for window in windows}
            read |= {load.buffer for expr in expressions_of(stmt) for load in loads_of(expr)}
        moved_from = {source for source, _ in pairs}
        bits = own - read - computed
        while values := {
            name
            for pair in pairs
            for name in pair
            if name in bits and not all(_holds_bits(kernel, part, bits) for part in pair)
        }:
            bits -= values
        return Moves(frozenset(bits), frozenset(own - read - moved_from - bits))


def _holds_bits(kernel: Kernel, name: str, bits: set[str]) -> bool:
    return name in bits or kernel.buffers[name].space in (Space.GLOBAL, Space.SHARED)
