"""What one run of a kernel does, counted from its loops: arithmetic, and accesses to buffers.

    for i in 0..8 { for j in 0..i { y[i] += a[i, j] * x[j] } }   ->   56 operations, 28 of a

The counts are exact: limits and conditions on loop indices are evaluated, for all iterations at
once. Only what depends on data is taken as met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...expr import FUNCTIONS, INDEX, Apply, Expr, Load, vars_of, walk_expr
from ...expr.traverse import loads_of
from ...types import Array
from ..evaluate import evaluate
from ..frame import Frame
from ..instructions.table import INSTRUCTIONS, NARROW_PRODUCTS
from ..nodes import Accumulate, Block, Call, Extern, If, Kernel, Let, Loop, Proc, Stmt, Store
from ..traverse import blocks_of, expressions_of, walk

_FUSED = 2  # operations in a fused multiply-add


@dataclass
class Work:
    """Arithmetic operations on elements, those among them that instructions of narrow products do,
    by these, and accesses by buffer."""

    operations: int = 0
    narrow: Counter[str] = field(default_factory=Counter)
    accesses: Counter[str] = field(default_factory=Counter)


def work_of(kernel: Kernel) -> Work:
    """What one run of a kernel does, its padding included.

    Each scalar function counts as one operation, a fused multiply-add as two; indices,
    comparisons and conversions do not count.
    """
    externs = {extern.name: extern for extern in kernel.externs}
    counter = _Counter({proc.name: proc for proc in kernel.procs}, externs)
    names = {buffer.name: buffer.name for buffer in kernel.params + kernel.locals}
    counter.block(kernel.body, Frame(kernel.name, {}, {}), 1, names)
    return counter.work


@dataclass
class _Counter:
    """Goes through the statements once; the axes that limits and conditions depend on become
    dimensions of the frame's grid, all others a factor."""

    procs: Mapping[str, Proc]
    externs: Mapping[str, Extern]
    work: Work = field(default_factory=Work)

    def block(
        self, block: Block, frame: Frame, times: int, names: Mapping[str, str]
    ) -> None:
        """Count `times` runs of a block at each active point; `names` are the kernel's own names
        of the buffers."""
        for stmt in block:
            match stmt:
                case Loop():
                    self._loop(stmt, frame, times, names)
                case If(condition=condition, then=then, otherwise=otherwise):
                    self._own(stmt, frame, times, names)
                    met = _known(condition, frame)
                    if met is None:
                        self.block(then, frame, times, names)
                    else:
                        self.block(then, frame.masked(met), times, names)
                        self.block(otherwise, frame.masked(~met), times, names)
                case Call():
                    self._call(stmt, frame, times, names)
                case _:
                    self._own(stmt, frame, times, names)
                    for inner in blocks_of(stmt):
                        self.block(inner, frame, times, names)

    def _loop(self, loop: Loop, frame: Frame, times: int, names: Mapping[str, str]) -> None:
        start, stop = _known(loop.start, frame), _known(loop.stop, frame)
        if start is None or stop is None:  # as long as the data say
            self.block(loop.body, frame, times, names)
            return
        low, high = int(start.min()), int(stop.max())
        same = start.size == stop.size == 1
        if same and loop.axis not in self._deciding(loop.body):
            self.block(loop.body, frame, times * max(0, high - low), names)
        elif low < high:
            inner = frame.expanded(loop.axis, low, high)
            if not same:
                axis = inner.vars[loop.axis]
                inner = inner.masked((start <= axis) & (axis < stop))
            self.block(loop.body, inner, times, names)

    def _call(self, call: Call, frame: Frame, times: int, names: Mapping[str, str]) -> None:
        if call.callee in self.externs:
            self._extern(self.externs[call.callee], call, times * _active(frame), names)
            return
        proc = self.procs.get(call.callee)
        proc = INSTRUCTIONS[call.callee].semantics if proc is None else proc
        windows = zip(proc.params, call.windows, strict=True)
        inner = {param.name: names[window.buffer] for param, window in windows}
        inner |= {buffer.name: buffer.name for buffer in proc.locals}
        scalars = {
            name: value
            for name, scalar in zip(proc.scalars, call.scalars, strict=True)
            if (value := _known(scalar, frame)) is not None
        }
        before = self.work.operations
        self.block(proc.body, replace(frame, vars=scalars), times, inner)
        if call.callee in NARROW_PRODUCTS:
            self.work.narrow[call.callee] += self.work.operations - before

    def _extern(
        self, extern: Extern, call: Call, runs: int, names: Mapping[str, str]
    ) -> None:
        """A C function: what it says it does, and each element it touches once."""
        self.work.operations += runs * extern.operations
        for param, window in zip(extern.params, call.windows, strict=True):
            self.work.accesses[names[window.buffer]] += runs * param.elements

    def _own(self, stmt: Stmt, frame: Frame, times: int, names: Mapping[str, str]) -> None:
        """Count what stands directly in a statement."""
        runs = times * _active(frame)
        for expr in expressions_of(stmt):
            self.work.operations += runs * _operations(expr)
            for load in loads_of(expr):
                self.work.accesses[names[load.buffer]] += runs
        match stmt:
            case Store(target=target):
                self.work.accesses[names[target.buffer]] += runs
            case Accumulate(targets=targets):
                self.work.operations += runs * len(targets)
                for target in targets:
                    self.work.accesses[names[target.buffer]] += runs
            case Let(name=name, value=value) if value.dtype == INDEX:
                known = _known(value, frame)
                if known is not None:
                    frame.vars[name] = known

    def _deciding(self, block: Block) -> frozenset[str]:
        """The variables that limits and conditions in a block depend on."""
        found: set[str] = set()
        for stmt in reversed(list(walk(block))):
            match stmt:
                case Loop(start=start, stop=stop):
                    found |= vars_of(start) | vars_of(stop)
                case If(condition=condition):
                    found |= vars_of(condition)
                case Let(name=name, value=value) if name in found:
                    found |= vars_of(value)
                case Call(callee=callee, scalars=scalars) if callee in self.procs:
                    proc = self.procs[callee]
                    inside = self._deciding(proc.body)
                    for name, scalar in zip(proc.scalars, scalars, strict=True):
                        if name in inside:
                            found |= vars_of(scalar)
        return frozenset(found)


def _active(frame: Frame) -> int:
    """How many points of the grid are active."""
    if frame.mask is None:
        return int(np.prod(frame.grid, dtype=np.int64))
    return int(np.count_nonzero(np.broadcast_to(frame.mask, frame.grid[::-1])))


def _known(expr: Expr, frame: Frame) -> Array | None:
    """The value of a limit or condition at every point; None where it depends on data."""
    unknown = any(name not in frame.vars for name in vars_of(expr))
    reads = any(isinstance(node, Load) for node in walk_expr(expr))
    return None if unknown or reads else evaluate(expr, frame)


def _operations(expr: Expr) -> int:
    """The arithmetic of one evaluation."""
    total = 0
    for node in walk_expr(expr):
        if isinstance(node, Apply) and node.dtype != INDEX and node.function != "select":
            counts = not FUNCTIONS[node.function].gives_bool and node.dtype.kind != "b"
            total += (_FUSED if node.function == "fma" else 1) if counts else 0
    return total
