"""What recipes ask of a naive kernel: its nests, strides of accesses, work."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...expr import (
    FUNCTIONS,
    INDEX,
    Apply,
    Cast,
    Expr,
    Load,
    bounds_of,
    vars_of,
    walk_expr,
)
from ...expr.simplify import factor_of, linear_sum
from ...sizes import round_up
from ...tile.analyses.scopes import THREAD_KINDS
from ...tile.instructions.table import Instruction, dot_instruction
from ...tile.nodes import Accumulate, Block, Buffer, Kernel, Kind, Loop, Stmt, Store
from ...tile.traverse import blocks_of, expressions_of, loads_in, walk
from ...tile.tree import accesses, chain, extent_of, has_constant_limits
from ...types import DType


@dataclass(frozen=True)
class Nest:
    """Perfectly nested loops over the result's axes, and the statements in the innermost; and the
    loops `around` all nests of the block that it stands in. It may be `alone` in its kernel."""

    loops: tuple[Loop, ...]
    body: Block
    around: tuple[Loop, ...] = ()
    alone: bool = True

    @property
    def block(self) -> Block:
        """The nest itself."""
        return self.loops[:1] or self.body

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(loop.axis for loop in self.loops)

    @property
    def reductions(self) -> tuple[tuple[Loop, ...], ...]:
        """The chains of reduction loops in the body."""
        return tuple(
            tuple(reduction_loops(stmt)) for stmt in self.body if isinstance(stmt, Loop)
        )

    def extent(self, axis: str) -> int:
        return next(extent_of(loop) for loop in self.loops if loop.axis == axis)


def nests_of(kernel: Kernel) -> list[Nest]:
    """The nests at the top of a kernel, or in the blocks there: loops that hold several nests.
    Plain statements at the top count as a nest without loops."""
    found = _nests(kernel.body, ())
    return found if len(found) == 1 else [replace(nest, alone=False) for nest in found]


def _nests(block: Block, around: tuple[Loop, ...]) -> list[Nest]:
    if not all(isinstance(stmt, Loop) for stmt in block):
        return [Nest((), block, around)]
    found: list[Nest] = []
    for stmt in block:
        assert isinstance(stmt, Loop)
        loops, body = chain(stmt)
        if all(isinstance(part, Accumulate) for part in body):
            found.append(Nest((), (stmt,), around))
        elif len(body) > 1 and all(_gives_results(part) for part in body):
            found.extend(_nests(body, (*around, *loops)))
        else:
            found.append(Nest(tuple(loops), body, around))
    return found


def _gives_results(stmt: Stmt) -> bool:
    """Whether a statement is a nest, not one of the loops of a reduction."""
    return isinstance(stmt, Loop) and any(isinstance(part, Store) for part in walk(stmt.body))


def reduction_loops(loop: Loop) -> list[Loop]:
    """The loops of one reduction from the outermost in, through the guards between them."""
    loops = [loop]
    while True:
        inner = [
            stmt
            for stmt in walk(loops[-1].body)
            if isinstance(stmt, Loop)
        ]
        if not inner:
            return loops
        loops.append(inner[0])


def stride(buffer: Buffer, indices: tuple[Expr, ...], axis: str) -> int | None:
    """How many elements an access moves when the axis moves by one; None if that varies."""
    if buffer.layout is not None:
        indices = buffer.layout.apply(indices)
    return factor_of(axis, linear_sum(zip(indices, buffer.strides, strict=True)))


def updates(block: Block) -> list[Accumulate]:
    """The accumulations in a block, in order."""
    return [stmt for stmt in walk(block) if isinstance(stmt, Accumulate)]


def operations_after(nest: Nest) -> int:
    """How many operations a nest's reductions go through before they are stored."""
    return sum(
        isinstance(node, Apply) and node.dtype != INDEX
        for stmt in nest.body
        if isinstance(stmt, Store)
        for node in walk_expr(stmt.value)
    )


def vector_cost(kernel: Kernel, block: Block, axis: str, lanes: int, extent: int) -> float:
    """Relative cost per element of running a block in vectors along an axis: whole vectors and
    invariant elements are cheap, scattered ones are read one at a time."""
    total = 0.0
    buffers = kernel.buffers
    for stmt in walk(block):
        refs = list(loads_in(stmt))
        places = [(load.buffer, load.indices) for load in refs]
        if isinstance(stmt, Store):
            places.append((stmt.target.buffer, stmt.target.indices))
        for name, indices in places:
            step = stride(buffers[name], indices, axis)
            total += 1 if step in (0, 1) else lanes
    used = min(lanes, extent) if extent else 1
    rounded = round_up(extent, lanes)
    return (total + 1) / used * (rounded / extent if extent else 1)


def has_straight_axis(kernel: Kernel, nest: Nest) -> bool:
    """Whether there is an axis of the result along which all accesses are whole vectors or one
    element for all lanes."""
    places = [(name, indices) for name, indices, _ in accesses(nest.body)]
    return any(
        all(stride(kernel.buffers[name], indices, axis) in (0, 1) for name, indices in places)
        for axis in nest.axes
    )


def sums_columns(kernel: Kernel, nest: Nest) -> bool:
    """Whether a nest's reductions read whole vectors along an axis of the result only, as sums of
    columns do."""
    if not nest.reductions or not has_straight_axis(kernel, nest):
        return False
    inner = [loops[-1] for loops in nest.reductions]
    return any(
        stride(kernel.buffers[name], indices, loop.axis) not in (0, 1)
        for loop in inner
        for name, indices, _ in accesses(loop.body)
    )


def work_cycles(kernel: Kernel) -> float:
    """A rough count of cycles on one core, from the arithmetic and the accesses."""

    def visit(block: Block, times: float, bounds: dict[str, tuple[int, int]]) -> float:
        total = 0.0
        for stmt in block:
            if isinstance(stmt, Loop):
                if has_constant_limits(stmt):
                    count = extent_of(stmt)
                else:
                    low, high = bounds_of(stmt.start, bounds)[0], bounds_of(stmt.stop, bounds)[1]
                    count = max(0, high - low)
                inner = {**bounds, stmt.axis: (0, max(0, count - 1))}
                total += visit(stmt.body, times * count, inner)
                continue
            cost = sum(
                FUNCTIONS[node.function].cost
                for expr in expressions_of(stmt)
                for node in walk_expr(expr)
                if isinstance(node, Apply) and node.dtype != INDEX
            )
            reads = sum(1 for _ in loads_in(stmt))
            total += times * (cost + reads + 1) / 16
            for inner_block in blocks_of(stmt):
                total += visit(inner_block, times, bounds)
        return total

    return visit(kernel.body, 1.0, {})


@dataclass(frozen=True)
class Product:
    """A reduction that is a matrix product: rows `m` (or none), columns `n`, what it sums over,
    the operand that has the columns, the width of its panels if it is packed, and the type of the
    sums.

    If `dots` is there, both operands are narrow, and this instruction does what the innermost loop
    over `together` of their elements does; `reduction` then holds the loops around that one.
    """

    m: str | None
    n: str
    reduction: tuple[str, ...]
    left: Load
    right: Load
    panel: int | None
    total: DType
    dots: Instruction | None = None
    together: str = ""

    @property
    def right_axes(self) -> frozenset[str]:
        """The axes that the operand of the columns depends on."""
        return _vars(self.right)


def as_product(kernel: Kernel, nest: Nest) -> Product | None:
    """Recognise `acc += left * right` where one axis occurs on the right only, contiguous in it
    (or packed in panels), and another on the left only."""
    sums = updates(nest.body)
    if len(sums) != 1 or sums[0].combiner != "sum" or len(nest.reductions) != 1:
        return None
    match sums[0].values[0]:
        case Apply(function="mul", dtype=total, args=(Load() as first, Load() as second)):
            narrow = False
        case Apply(
            function="mul",
            dtype=total,
            args=(Cast(value=Load() as first), Cast(value=Load() as second)),
        ):
            narrow = True
        case _:
            return None
    reduction = tuple(loop.axis for loop in nest.reductions[0])
    for left, right in ((first, second), (second, first)):
        dots = _dots(kernel, nest, total, left, right) if narrow else None
        if narrow and dots is None:
            continue
        together = reduction[-1] if dots else ""
        step = dots.params[-1].shape[-1] if dots else 1
        columns = [axis for axis in nest.axes if axis in _vars(right) and axis not in _vars(left)]
        rows = [axis for axis in nest.axes if axis in _vars(left) and axis not in _vars(right)]
        for n in reversed(columns):
            panel = _panel_width(right, n)
            contiguous = stride(kernel.buffers[right.buffer], right.indices, n) == step
            if panel or contiguous:
                around = reduction[:-1] if dots else reduction
                m = rows[-1] if rows else None
                return Product(m, n, around, left, right, panel, total, dots, together)
    return None


def _dots(
    kernel: Kernel, nest: Nest, total: DType, left: Load, right: Load
) -> Instruction | None:
    """The instruction that sums what the innermost loop of a reduction does, neighbours of both
    operands; None where that is the only loop."""
    found = dot_instruction(total, left.dtype, right.dtype)
    *around, inner = nest.reductions[0]
    if found is None or not around or not has_constant_limits(inner):
        return None
    neighbours = all(
        stride(kernel.buffers[load.buffer], load.indices, inner.axis) == 1
        for load in (left, right)
    )
    return found if neighbours and extent_of(inner) == found.params[-1].shape[-1] else None


def _vars(load: Load) -> frozenset[str]:
    return frozenset().union(*map(vars_of, load.indices))


def _panel_width(load: Load, axis: str) -> int | None:
    """The width `w` where the indices hold `axis % w`."""
    for part in load.indices:
        for node in walk_expr(part):
            match node:
                case Apply(function="mod", args=(value, width)) if vars_of(value) == {axis}:
                    return bounds_of(width, {})[0]
    return None


def is_bound(kernel: Kernel) -> bool:
    """Whether a kernel, or a part of it, is written as it is to run, in blocks and warps."""
    return any(
        isinstance(stmt, Loop) and (stmt.kind is Kind.BLOCK or stmt.kind in THREAD_KINDS)
        for stmt in walk(kernel.body)
    )
