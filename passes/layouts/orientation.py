"""Which matrices of a function are better kept transposed.

A product reads its left operand in any order, but its right operand along rows; a product that is
computed transposed, `(a @ b)ᵀ = bᵀ @ aᵀ`, reads `a` along columns. Only one of a few rows or
columns is summed along the rows of both operands, and stays as it is. What is computed of a product
element by element can stay in the order that the product left it in. So values fall into sets of
one order, and the orders are chosen together: those that turn the fewest matrices by copying, and
in which the products' tiles fit best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from ...ir import Constant, Function, Node, Op, Value
from ...ops.base.broadcast import Broadcast
from ...ops.base.cast import Cast
from ...ops.base.elements import Elementwise
from ...ops.products.matmul import Matmul
from ...ops.reductions.reduce import Reduction
from ...ops.shapes.shape import Transpose
from ...target import Target
from ...types import f32, f64
from ..schedule.cost.inner import is_few
from ..schedule.cost.lanes import lane_cycles
from ..schedule.cost.register_tiles import ProductSizes
from ..schedule.cost.windows import transpose_cycles

SWEEPS = 4  # over all sets; each takes what the last one left to gain


def swap(rank: int) -> tuple[int, ...]:
    """The order that exchanges the last two axes."""
    return (*range(rank - 2), rank - 1, rank - 2)


def untransposed(value: Value) -> tuple[Value, bool]:
    """The value behind exchanges of the last two axes, and whether their number is odd."""
    turned = False
    while isinstance(value.op, Transpose) and value.op.perm == swap(value.rank):
        value, turned = value.op.x, not turned
    return value, turned


def is_carried(op: Op) -> bool:
    """Whether an operation computes matrices element by element, in whatever order they lie."""
    return isinstance(op, (Elementwise, Cast)) and op.operands[0].rank >= 2


def takes_any(op: Op) -> bool:
    """Whether an operation reads a matrix as well transposed: a sum over its rows, or all of it."""
    match op:
        case Reduction(x=x, axes=axes, keepdims=False):
            return x.rank >= 2 and x.rank - 2 in axes
    return False


def is_either(value: Value) -> bool:
    """Whether a value can be had in any order for nothing: a constant, or what is repeated along
    rows or columns."""
    match value.op:
        case Constant():
            return True
        case Broadcast(x=x):
            return x.rank < 2 or 1 in x.shape[-2:]
    return False


def orders(fn: Function, target: Target) -> frozenset[Value]:
    """The values that are better computed with their last two axes exchanged."""
    if not any(isinstance(node.op, Matmul) for node in fn.nodes):
        return frozenset()
    choice = _Choice(target)
    for node in fn.nodes:
        choice.add(node)
    for result in fn.results:
        choice.needs(result)
    choice.improve()
    made = (node.results[0] for node in fn.nodes if is_oriented(node.op))
    return frozenset(value for value in made if choice.is_turned(value))


def is_oriented(op: Op) -> bool:
    """Whether the order of an operation's result is a choice."""
    match op:
        case Matmul():
            alike = op.lhs.dtype == op.rhs.dtype  # u8 by i8 has no other side
            return alike and _known(op) and not is_inner(op)
    return is_carried(op)


def _known(op: Matmul) -> bool:
    """Whether the sizes of a product are known, and none of them 0."""
    known = op.lhs.type.is_static and op.rhs.type.is_static
    return known and bool(op.infer().elements)


def is_inner(op: Matmul) -> bool:
    """Whether a product is best summed along the rows of both operands, as they lie: of a few rows
    or columns, the right one transposed."""
    *_, rows, columns = op.infer().static_shape
    right, odd = untransposed(op.rhs)
    given = odd and not untransposed(op.lhs)[1] and not is_either(right)
    plain = op.lhs.dtype in (f32, f64)
    return given and plain and is_few(rows, op.lhs.type.static_shape[-1], columns)


@dataclass(frozen=True)
class _Need:
    """A value wanted in one order: always, or where a result of a product is in such an order."""

    turned: bool
    by: Value | None = None  # a result
    where: bool = False  # that result's order
    same: bool = False  # the order of that result, whatever it is, `turned` telling it from this


@dataclass
class _Choice:
    """Sets of values, each in one order, and what the orders cost."""

    target: Target
    parent: dict[Value, tuple[Value, bool]] = field(default_factory=dict)
    turned: dict[Value, bool] = field(default_factory=dict)  # of the value that names a set
    wanted: dict[Value, list[_Need]] = field(default_factory=lambda: defaultdict(list))
    products: dict[Value, Mapping[bool, float]] = field(default_factory=dict)
    # By set: what is wanted of, or for, its values.
    touched: dict[Value, dict[Value, None]] = field(default_factory=lambda: defaultdict(dict))

    # Sets

    def name(self, value: Value) -> tuple[Value, bool]:
        """The value that names a set, and whether this one is transposed where that is not."""
        above, odd = self.parent.setdefault(value, (value, False))
        if above is value:
            return value, False
        top, more = self.name(above)
        self.parent[value] = top, odd != more
        return self.parent[value]

    def is_turned(self, value: Value) -> bool:
        top, odd = self.name(value)
        return self.turned.get(top, False) != odd

    def _join(self, value: Value, other: Value, odd: bool) -> bool:
        """Put two values into one set; whether that is possible."""
        (top, mine), (bottom, theirs) = self.name(value), self.name(other)
        if top is bottom:
            return (mine != theirs) == odd
        self.parent[bottom] = top, (mine != theirs) != odd
        return True

    # What operations want

    def add(self, node: Node) -> None:
        op = node.op
        match op:
            case Matmul(lhs=lhs, rhs=rhs) if is_oriented(op):
                result = node.results[0]
                self._want(rhs, _Need(False, result, where=False))
                self._want(lhs, _Need(True, result, where=True))
                self.products[result] = _cycles(op, self.target)
                return
            case Matmul(lhs=lhs, rhs=rhs) if _known(op) and is_inner(op):
                self.needs(lhs)
                self.needs(untransposed(rhs)[0])
                return
            case Transpose() if op.perm == swap(op.x.rank):
                return
        if takes_any(op):
            return
        if is_carried(op):
            self._carry(node)
            return
        for operand in op.operands:
            self.needs(operand)

    def needs(self, value: Value) -> None:
        """A value is wanted as it was written."""
        self._want(value, _Need(False))

    def _carry(self, node: Node) -> None:
        (result,) = node.results
        for operand in node.op.operands:
            source, odd = untransposed(operand)
            free = source.op is not None and is_oriented(source.op)
            if free and self._join(result, source, odd):
                continue
            self._want(operand, _Need(False, result, same=True))

    def _want(self, value: Value, need: _Need) -> None:
        source, odd = untransposed(value)
        if source.rank < 2 or not source.type.is_static or is_either(source):
            return
        self.wanted[source].append(_Need(need.turned != odd, need.by, need.where, need.same))

    # Costs

    def improve(self) -> None:
        """Turn sets as long as that makes the whole cheaper."""
        for source, needs in self.wanted.items():
            for value in (source, *(need.by for need in needs if need.by is not None)):
                self.touched[self.name(value)[0]][source] = None
        for _ in range(SWEEPS):
            if not sum(map(self._try, tuple(self.touched))):
                break

    def _try(self, top: Value) -> bool:
        """Turn a set, if that is cheaper; whether it was."""
        if top.op is None or not is_oriented(top.op):
            return False
        around = self.touched[top]
        own = [value for value in self.products if self.name(value)[0] is top]
        before = self._cost(around, own)
        self.turned[top] = not self.turned.get(top, False)
        if self._cost(around, own) < before:
            return True
        self.turned[top] = not self.turned[top]
        return False

    def _cost(self, around: Iterable[Value], products: Iterable[Value]) -> float:
        work = sum(self.products[value][self.is_turned(value)] for value in products)
        return work + sum(map(self._copies, around))

    def _copies(self, source: Value) -> float:
        """Cycles to turn a value into the orders that it is wanted in and does not have."""
        have = self._ways(source)
        missing = {way for way in map(self._way, self.wanted[source]) if way is not None} - have
        count = prod(source.type.static_shape) * source.dtype.bytes
        return len(missing) * transpose_cycles(count, self.target)

    def _way(self, need: _Need) -> bool | None:
        """The order that is wanted, if any is as things stand."""
        if need.by is None:
            return need.turned
        turned = self.is_turned(need.by)
        if need.same:
            return turned != need.turned
        return need.turned if turned == need.where else None

    def _ways(self, source: Value) -> set[bool]:
        """The orders that a value is there in, a transposed view of it among them."""
        match source.op:
            case Transpose(perm=perm):
                last = source.rank - 1
                return {turned for turned, axis in ((False, -1), (True, -2)) if perm[axis] == last}
        return {self.is_turned(source)}


def _cycles(op: Matmul, target: Target) -> Mapping[bool, float]:
    """Cycles of a product as it is written, and transposed."""
    *batch, rows, columns = op.infer().static_shape
    if 1 in (rows, columns):
        return {False: 0.0, True: 0.0}  # a matrix is read once, whichever way
    depth = op.lhs.type.static_shape[-1]
    found = {}
    for turned, m, n, right in ((False, rows, columns, op.rhs), (True, columns, rows, op.lhs)):
        sizes = ProductSizes(m, depth, n, op.lhs.dtype, prod(batch))
        ways = lane_cycles(sizes, depth, target)
        packed = isinstance(right.op, Constant)  # in whichever way is best
        found[turned] = min(ways.values()) if packed else ways["columns"]
    return found
