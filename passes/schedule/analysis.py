"""What recipes ask of a naive kernel: its nests, strides of accesses, work."""

from __future__ import annotations

from dataclasses import dataclass

from ...expr import (
    FUNCTIONS,
    INDEX,
    Apply,
    Expr,
    Load,
    bounds_of,
    loads_of,
    vars_of,
    walk_expr,
)
from ...expr.simplify import factor_of, linear_sum
from ...tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    Kernel,
    Loop,
    Stmt,
    Store,
    blocks_of,
    expressions_of,
    walk,
)
from ...tile.tree import accesses, chain, extent_of, has_constant_limits


@dataclass(frozen=True)
class Nest:
    """Perfectly nested loops over the result's axes, and the statements in the innermost."""

    loops: tuple[Loop, ...]
    body: Block

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
    """The nests at the top of a kernel; plain statements there count as a nest without loops."""
    plain: list[Stmt] = []
    found: list[Nest] = []
    if not all(isinstance(stmt, Loop) for stmt in kernel.body):
        plain.extend(kernel.body)
        return [Nest((), tuple(plain))]
    for stmt in kernel.body:
        assert isinstance(stmt, Loop)
        loops, body = chain(stmt)
        if all(isinstance(part, Accumulate) for part in body):
            found.append(Nest((), (stmt,)))
        else:
            found.append(Nest(tuple(loops), body))
    return found


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
    return [stmt for stmt in walk(block) if isinstance(stmt, Accumulate)]


def vector_cost(kernel: Kernel, block: Block, axis: str, lanes: int, extent: int) -> float:
    """Relative cost per element of running a block in vectors along an axis: whole vectors and
    invariant elements are cheap, scattered ones are read one at a time."""
    total = 0.0
    buffers = kernel.buffers
    for stmt in walk(block):
        refs = [load for expr in expressions_of(stmt) for load in loads_of(expr)]
        places = [(load.buffer, load.indices) for load in refs]
        if isinstance(stmt, Store):
            places.append((stmt.target.buffer, stmt.target.indices))
        for name, indices in places:
            step = stride(buffers[name], indices, axis)
            total += 1 if step in (0, 1) else lanes
    used = min(lanes, extent) if extent else 1
    rounded = -(-extent // lanes) * lanes
    return (total + 1) / used * (rounded / extent if extent else 1)


def has_straight_axis(kernel: Kernel, nest: Nest) -> bool:
    """Whether there is an axis of the result along which all accesses are whole vectors or one
    element for all lanes."""
    places = [(name, indices) for name, indices, _ in accesses(nest.body)]
    return any(
        all(stride(kernel.buffers[name], indices, axis) in (0, 1) for name, indices in places)
        for axis in nest.axes
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
            reads = sum(1 for expr in expressions_of(stmt) for _ in loads_of(expr))
            total += times * (cost + reads + 1) / 16
            for inner_block in blocks_of(stmt):
                total += visit(inner_block, times, bounds)
        return total

    return visit(kernel.body, 1.0, {})


@dataclass(frozen=True)
class Product:
    """A reduction that is a matrix product: rows `m` (or none), columns `n`, what it sums over,
    the operand that has the columns, and the width of its panels if it is packed."""

    m: str | None
    n: str
    reduction: tuple[str, ...]
    left: Load
    right: Load
    panel: int | None

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
        case Apply(function="mul", args=(Load() as first, Load() as second)):
            pass
        case _:
            return None
    reduction = tuple(loop.axis for loop in nest.reductions[0])
    for left, right in ((first, second), (second, first)):
        columns = [axis for axis in nest.axes if axis in _vars(right) and axis not in _vars(left)]
        rows = [axis for axis in nest.axes if axis in _vars(left) and axis not in _vars(right)]
        for n in reversed(columns):
            panel = _panel_width(right, n)
            contiguous = stride(kernel.buffers[right.buffer], right.indices, n) == 1
            if panel or contiguous:
                return Product(rows[-1] if rows else None, n, reduction, left, right, panel)
    return None


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

