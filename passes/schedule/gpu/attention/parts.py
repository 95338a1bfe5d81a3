"""Joins what blocks found in parts of the keys, in the order of these:

    for b: for s: for e: {most = max over part of tops[part, b, s];
      for part: {w = 2 ** (tops[part, b, s] - most);  total += w * totals[part, b, s];
                 sum += w * sums[part, b, s, e]}
      y[b, s, e] = sum / total}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .....expr import Expr, Load, Var, apply, const, index
from .....tile.nodes import Accumulate, Block, Buffer, Kernel, Let, Loop, Ref, Space, Store
from .....tile.tree import nest, var
from .....types import f32
from .blocks import AttentionBlocks


@dataclass(frozen=True)
class Parts:
    """Where blocks of a part of the keys leave what they have: sums of weighted values, what
    exponents are relative to, and the total of the weights of each query."""

    sums: Buffer
    tops: Buffer
    totals: Buffer

    @staticmethod
    def of(blocks: AttentionBlocks) -> Parts:
        shape = (blocks.op.parts, *blocks.result.shape[:-1])
        sizes = ((*shape, blocks.result.shape[-1]), shape, shape)
        return Parts(*(
            Buffer(blocks.names.fresh(f"part_{name}"), f32, size, Space.SHARED)
            for name, size in zip(("sums", "tops", "totals"), sizes, strict=True)
        ))

    def kept_sum(self, at: Sequence[Expr], column: Expr, sum_: Expr) -> Store:
        return Store(Ref(self.sums.name, (var("part"), *at, column)), sum_)

    def kept_row(self, at: Sequence[Expr], top: Expr, total: Expr) -> Block:
        place = (var("part"), *at)
        pairs = ((self.tops, top), (self.totals, total))
        return tuple(Store(Ref(buffer.name, place), value) for buffer, value in pairs)


def joined_parts(kernel: Kernel, blocks: AttentionBlocks, parts: Parts) -> Kernel:
    """The kernel with a second nest, which makes results of what the first leaves in `parts`."""
    columns = Loop("e", index(0), index(blocks.result.shape[-1]), ())
    loops = [replace(loop, axis=blocks.axis(loop.axis)) for loop in (*blocks.axes, columns)]
    axes = {
        own.axis: var(loop.axis) for own, loop in zip(blocks.axes, loops[:-1], strict=True)
    }
    column, places = var(loops[-1].axis), tuple(var(loop.axis) for loop in loops[:-1])
    most, total, sum_ = (
        Buffer(blocks.names.fresh(name, "_"), f32, (), Space.REGISTER)
        for name in ("joined_most", "joined_total", "joined_sum")
    )
    first, second = (blocks.axis("part") for _ in range(2))
    weight = Var(f32, blocks.axis("weight"))

    def of(buffer: Buffer, part: str, *at: Expr) -> Load:
        return Load(f32, buffer.name, (var(part), *places, *at))

    weighted: Block = (
        Let(weight.name, apply("exp2", of(parts.tops, second) - _value(most))),
        _add("sum", total, weight * of(parts.totals, second)),
        _add("sum", sum_, weight * of(parts.sums, second, column)),
    )
    count = index(blocks.op.parts)
    body: Block = (
        Store(Ref(most.name, ()), _lowest()),
        Loop(first, index(0), count, (_add("max", most, of(parts.tops, first)),)),
        Store(Ref(total.name, ()), const(0, f32)),
        Store(Ref(sum_.name, ()), const(0, f32)),
        Loop(second, index(0), count, weighted),
        blocks.stored(_value(sum_) * blocks.inverse(_value(total)), axes, column),
    )
    kept = (parts.sums, parts.tops, parts.totals, most, total, sum_)
    return replace(
        kernel, body=(*kernel.body, *nest(loops, body)), locals=(*kernel.locals, *kept)
    )


def _lowest() -> Expr:
    return const(-math.inf, f32)


def _value(register: Buffer) -> Load:
    return Load(f32, register.name, ())


def _add(combiner: str, register: Buffer, value: Expr) -> Accumulate:
    return Accumulate(combiner, (Ref(register.name, ()),), (value,))
