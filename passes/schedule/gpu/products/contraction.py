"""Sums of products, found in any nest: matrix products, batched or with operands turned, and
convolutions, whose places are rows and whose taps are summed over.

    for b: for i: for j: {acc = 0;  for k: acc += left(b, i, k) * right(b, j, k);  y[..] = f(acc)}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from .....expr import (
    TRUE,
    Apply,
    Cast,
    Const,
    Expr,
    Load,
    all_of,
    has_loads,
    loads_of,
    vars_of,
)
from .....expr.simplify import Linear, factor_of, linear_sum
from .....tile.analyses.alignment import WIDEST, alignment_of
from .....tile.analyses.dependence import Dependences, Mode
from .....tile.analyses.scopes import scoped
from .....tile.instructions.warps import NARROW
from .....tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    If,
    Kernel,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
)
from .....tile.traverse import walk
from .....tile.tree import accesses, chain, extent_of, has_constant_limits, var
from .....types import DType, f32
from ...analysis import stride

LEAST = 8  # columns and terms: with fewer, tiles are mostly empty


@dataclass(frozen=True)
class Operand:
    """A factor at every row (or column) of its `loops` and every term; where the `guard` does not
    hold it is zero, and nothing is read. Rows not `within` are none of the result; those of the
    innermost loops, if they are a `patch`, come as one box."""

    value: Expr
    guard: Expr
    loops: tuple[Loop, ...]
    within: Expr = TRUE
    patch: tuple[Loop, ...] = ()

    @property
    def extent(self) -> int:
        return count(self.loops)

    @property
    def plain(self) -> Load | None:
        """The element that it is, if it is one as it stands in memory."""
        return self.value if isinstance(self.value, Load) else None

    @property
    def load(self) -> Load:
        """The first element that it reads."""
        return next(loads_of(self.value))


@dataclass(frozen=True)
class Contraction:
    """A nest that is a matrix product for each iteration of `batch`: its factors, the loops over
    the `terms` of a sum, the register that holds the sum, and what is done with it."""

    kernel: Kernel
    batch: tuple[Loop, ...]
    left: Operand
    right: Operand
    terms: tuple[Loop, ...]
    total: Buffer
    finish: Block
    part: str = ""  # the axis over parts of the terms, where blocks have one each

    @property
    def depth(self) -> int:
        return count(self.terms)

    def runs_along_terms(self, operand: Operand) -> bool:
        """Whether neighbours in memory are neighbouring terms, not neighbouring rows."""
        if not operand.loops:
            return True
        steps = [self._step(operand, loops[-1].axis) for loops in (self.terms, operand.loops)]
        return steps[0] == 1 and steps[1] != 1

    def _step(self, operand: Operand, axis: str) -> int | None:
        load = operand.load
        return stride(self.kernel.buffers[load.buffer], load.indices, axis)

    def run(self, operand: Operand, width: int) -> bool:
        """Whether memory holds its elements in whole runs of `width`, each at a multiple of that,
        along its terms or its rows."""
        load = operand.plain
        loops = self.terms if self.runs_along_terms(operand) else operand.loops
        if load is None or not loops or loops[-1].axis in vars_of(operand.guard):
            return False
        buffer = self.kernel.buffers[load.buffer]
        if alignment_of(buffer) % (width * buffer.dtype.bytes):
            return False
        terms = self._places(load)
        inner = loops[-1]
        others = dict(terms)
        steps = factor_of(inner.axis, terms)
        for term in terms:
            if term is not None and vars_of(term) == {inner.axis}:
                del others[term]
        begins = inner.start == Const(inner.start.dtype, 0)
        whole = extent_of(inner) % width == 0 or (len(loops) == 1 and self._reaches(load, inner))
        apart = all(factor % width == 0 for factor in others.values())
        return steps == 1 and begins and whole and apart

    def is_scattered(self, operand: Operand) -> bool:
        """Whether memory holds an operand, before it is widened, but not in runs of sixteen
        bytes."""
        bare = narrowed(operand)
        return bare.plain is not None and not self.run(bare, WIDEST // bare.load.dtype.bytes)

    def _reaches(self, load: Load, loop: Loop) -> bool:
        """Whether memory goes on past the last row of an operand, up to a multiple of sixteen
        bytes, as if there were more of them."""
        buffer = self.kernel.buffers[load.buffer]
        row = buffer.shape[-1] * buffer.dtype.bytes
        return load.indices[-1] == var(loop.axis) and row % WIDEST == 0

    def _places(self, load: Load) -> Linear:
        buffer = self.kernel.buffers[load.buffer]
        at = load.indices if buffer.layout is None else buffer.layout.apply(load.indices)
        return linear_sum(zip(at, buffer.strides, strict=True))


def count(loops: Sequence[Loop]) -> int:
    """How often the body of perfectly nested loops runs."""
    return prod(map(extent_of, loops))


def as_contraction(kernel: Kernel) -> Contraction | None:
    """The sums of products that a kernel of one nest is, if they are large enough for tiles."""
    match kernel.body:
        case (Loop() as top,):
            loops, body = chain(top)
        case _:
            return None
    match body:
        case (Store(target=Ref(buffer=name), value=Const(value=0)), sum_, *finish):
            total = kernel.buffers[name]
        case _:
            return None
    found = as_reduction(sum_, name)
    simple = all(isinstance(stmt, (Store, Let, If)) for stmt in walk(tuple(finish)))
    single = total.space is Space.REGISTER and total.elements == 1
    factors = _factors(found.update) if found is not None else None
    if found is None or factors is None or not simple or not single or kernel.locals != (total,):
        return None
    if not all(map(has_constant_limits, loops)) or not _independent(kernel, loops):
        return None
    written = {name for name, _, writes in accesses(tuple(finish)) if writes}
    reads = {load.buffer for factor in factors for load in loads_of(factor)}
    if not all(map(has_loads, factors)) or reads & (written | {total.name}):
        return None
    sides = _sides(kernel, loops, found, factors)
    if sides is None:
        return None
    batch, left, right = sides
    terms = found.loops
    for side in (right, left):
        terms = _as_in_memory(kernel, terms, side.value)
    return Contraction(kernel, batch, left, right, terms, total, tuple(finish))


@dataclass(frozen=True)
class Reduction:
    """Loops of constant limits, and what is joined in them where all `guards` hold."""

    loops: tuple[Loop, ...]
    guards: tuple[Expr, ...]
    update: Accumulate


def as_reduction(stmt: Stmt, total: str) -> Reduction | None:
    """The reduction into a register that a statement is."""
    terms: list[Loop] = []
    guards: list[Expr] = []
    while True:
        match stmt:
            case Loop(body=(inner,)) if has_constant_limits(stmt):
                terms.append(stmt)
                stmt = inner
            case If(condition=condition, then=(inner,), otherwise=()):
                guards.append(condition)
                stmt = inner
            case Accumulate(targets=(Ref(buffer=name),)) if name == total and terms:
                return Reduction(tuple(terms), tuple(guards), stmt)
            case _:
                return None


def _factors(update: Accumulate) -> tuple[Expr, Expr] | None:
    """What is multiplied, of a sum of products."""
    match update:
        case Accumulate(combiner="sum", values=(Apply(function="mul", args=(first, second)),)):
            return first, second
    return None


def _independent(kernel: Kernel, loops: Sequence[Loop]) -> bool:
    modes = Dependences(scoped(kernel, narrow=True), kernel.params, {}).modes
    return all(modes[loop.axis] is Mode.INDEPENDENT for loop in loops)


def _sides(
    kernel: Kernel, loops: list[Loop], found: Reduction, factors: tuple[Expr, Expr]
) -> tuple[tuple[Loop, ...], Operand, Operand] | None:
    """The loops that both factors depend on, and the factors; that of the columns goes along the
    innermost loop, along which results are written, unless it has too few."""
    first, second = factors
    if loops[-1].axis in vars_of(first) and loops[-1].axis not in vars_of(second):
        first, second = second, first
    if count([loop for loop in loops if loop.axis not in vars_of(first)]) < LEAST:
        first, second = second, first
    in_left, in_right = vars_of(first), vars_of(second)
    batch = tuple(loop for loop in loops if loop.axis in in_left & in_right)
    rows = tuple(loop for loop in loops if loop.axis in in_left - in_right)
    columns = tuple(loop for loop in loops if loop.axis in in_right - in_left)
    terms = {loop.axis for loop in found.loops}
    whole = len(batch) + len(rows) + len(columns) == len(loops)
    if not whole or not terms <= in_left & in_right:
        return None
    if count(columns) < LEAST or count(found.loops) < LEAST:
        return None
    if batch and not rows:  # of which no factor is used twice
        return None
    shared = terms | {loop.axis for loop in batch}
    left_guards = _guards_on(found, shared | {loop.axis for loop in rows})
    right_guards = _guards_on(found, shared | {loop.axis for loop in columns})
    if {*left_guards, *right_guards} != set(found.guards):
        return None
    left = Operand(first, all_of(*left_guards), _as_in_memory(kernel, rows, first))
    right = Operand(second, all_of(*right_guards), _as_in_memory(kernel, columns, second))
    return batch, left, right


def _guards_on(found: Reduction, axes: set[str]) -> list[Expr]:
    """The conditions on these axes alone. Both operands have those on terms, which may keep either
    factor's place inside of what it reads."""
    return [guard for guard in found.guards if vars_of(guard) <= axes]


def _as_in_memory(kernel: Kernel, loops: tuple[Loop, ...], value: Expr) -> tuple[Loop, ...]:
    """The loops in the order in which memory holds a factor, if it holds neighbours along one."""
    load = next(loads_of(value))
    buffer = kernel.buffers[load.buffer]
    steps = {loop.axis: stride(buffer, load.indices, loop.axis) for loop in loops}
    if 1 not in steps.values():
        return loops
    return tuple(sorted(loops, key=lambda loop: -(steps[loop.axis] or 0)))


def narrow_type(contraction: Contraction) -> DType | None:
    """The type of both factors before they were widened, or f32 if both are rounded to TF32, where
    cards have an instruction that multiplies them."""
    if contraction.total.dtype != f32:
        return None
    left, right = (_bare(side.value) for side in (contraction.left, contraction.right))
    if left is None or right is None or left.dtype != right.dtype:
        return None
    return left.dtype


def narrowed(operand: Operand) -> Operand:
    """An operand before it was widened or rounded."""
    value = _bare(operand.value)
    return operand if value is None else replace(operand, value=value)


def _bare(factor: Expr) -> Expr | None:
    """A factor before it was widened from a narrow type, or rounded to TF32."""
    match factor:
        case Cast(value=value) if value.dtype in NARROW:
            return value
        case Apply(function="tf32" | "tf32_cut", args=(value,)):
            return value
    return None
