"""From a group of operations to its naive kernel: a loop nest and a buffer for every operation
that is not computed in its user's place.

    for i0: for i1: {acc = 0; for k: acc += lhs[i0, k] * rhs[k, i1];  result[i0, i1] = max(acc, 0)}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod

from ...errors import PassError, check
from ...expr import (
    COMBINERS,
    INDEX,
    Apply,
    Cast,
    Expr,
    Load,
    Reduce,
    Var,
    apply,
    const,
    contains_reduce,
    rewrite_expr,
    substitute_vars,
)
from ...expr.traverse import children
from ...ir import Constant, Function, Node, Value, users_of
from ...text import fresh_name
from ...tile.nodes import Accumulate, Buffer, Kernel, Ref, Space, Stmt, Store
from ...tile.tree import loops_over, tidy
from .bodies import Body, Read, cost_of, reads_of, record_body

CHEAP = 2  # an expression of this cost may be computed again for every use


@dataclass(frozen=True)
class _Home:
    """The node whose nest a node is computed in; aligned: at that nest's own index only."""

    node: Node
    aligned: bool


@dataclass
class Lowering:
    """The naive kernel of one group under construction."""

    fn: Function
    name: str
    bodies: dict[Node, Body] = field(default_factory=dict)
    inlined: dict[Value, tuple[Node, int]] = field(default_factory=dict)
    buffers: dict[Value, Buffer] = field(default_factory=dict)
    locals: list[Buffer] = field(default_factory=list)
    nests: list[Stmt] = field(default_factory=list)
    expressions: dict[tuple[Value, tuple[Expr, ...]], Expr] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.users = users_of(self.fn)

    def kernel(self) -> Kernel:
        """Lower every operation of the group."""
        for node in self.fn.nodes:
            if not isinstance(node.op, Constant):
                types = tuple(result.type for result in node.results)
                self.bodies[node] = record_body(node.op, types)
        params = [self._parameter(value, value.name) for value in self.fn.params]
        outputs = self._outputs()
        for number, node in enumerate(self._materialised()):
            self._nest(node, number)
        made = Kernel(
            self.name,
            (*params, *outputs),
            tuple(buffer.name for buffer in outputs),
            tuple(self.nests),
            tuple(self.locals),
        )
        return tidy(made)

    def _fresh(self, name: str) -> str:
        return fresh_name(name, self.taken)

    def _parameter(self, value: Value, name: str) -> Buffer:
        buffer = Buffer(self._fresh(name), value.dtype, value.type.static_shape)
        self.buffers[value] = buffer
        return buffer

    def _outputs(self) -> list[Buffer]:
        names = ["result"] if len(self.fn.results) == 1 else [
            f"result{position}" for position in range(len(self.fn.results))
        ]
        return [
            self._parameter(value, name)
            for value, name in zip(self.fn.results, names, strict=True)
        ]

    # What is computed where

    def _materialised(self) -> Iterator[Node]:
        """The nodes that get a nest, in order; the others are noted as inlined."""
        users = self.users
        results = set(self.fn.results)
        homes: dict[Node, _Home] = {}
        nested: list[Node] = []
        for node in reversed(self.fn.nodes):
            if isinstance(node.op, Constant):
                continue
            home = None
            if len(node.results) == 1 and node.results[0] not in results:
                home = self._home(node, users.get(node.results[0], ()), homes)
            if home is None:
                homes[node] = _Home(node, True)
                nested.append(node)
            else:
                homes[node] = home
                self.inlined[node.results[0]] = (node, 0)
        for node in reversed(nested):
            for value in node.results:
                if value not in results and (value in users or len(node.results) == 1):
                    buffer = Buffer(
                        self._fresh(node.op.name), value.dtype, value.type.static_shape,
                        Space.SHARED,
                    )
                    self.buffers[value] = buffer
                    self.locals.append(buffer)
            yield node

    def _home(
        self, node: Node, users: tuple[Node, ...], homes: Mapping[Node, _Home]
    ) -> _Home | None:
        """The nest in which a value is computed in its users' place, if that is as cheap.

        It is if every use is at the nest's own index, so that it is computed once there, or if
        computing it anew for every use costs next to nothing.
        """
        (value,) = node.results
        reads = [read for user in users for read in self._reads(user, value)]
        nests = {homes[user].node for user in users}
        elements = prod(value.type.static_shape)
        aligned = all(homes[user].aligned for user in users) and all(
            read.at_own_index and read.count <= elements for read in reads
        )
        if len(nests) == 1 and aligned:
            return _Home(next(iter(nests)), True)
        (body,) = self.bodies[node].results
        reread = any(read.reduced and read.count > elements for read in reads)
        if contains_reduce(body) or (reread and self._finishes_sums(node)):
            return None
        once = len(reads) == 1 and reads[0].count <= elements and len(nests) == 1
        if once or cost_of(body) <= CHEAP:
            return _Home(next(iter(nests)), False)
        return None

    def _finishes_sums(self, node: Node) -> bool:
        """Whether a value is what becomes of one sum each, which nothing else needs: then it is
        computed where that is complete."""
        for value in node.op.operands:
            made = value.node
            if made not in self.bodies or len(self.users[value]) > 1 or len(made.results) > 1:
                continue
            if all(read.at_own_index for read in self._reads(node, value)):
                (body,) = self.bodies[made].results
                if contains_reduce(body) or self._finishes_sums(made):
                    return True
        return False

    def _reads(self, user: Node, value: Value) -> list[Read]:
        """How the body of `user` reads a value."""
        domain = prod(user.results[0].type.static_shape)
        return reads_of(self.bodies[user], user.op, value, domain)

    # Making the nests

    def _nest(self, node: Node, number: int) -> None:
        """A loop nest that computes the results of a node."""
        prefix = "ijpqrstuvw"[number] if number < 10 else f"n{number}_"
        shape = node.results[0].type.static_shape
        at = tuple(Var(INDEX, self._fresh(f"{prefix}{axis}")) for axis in range(len(shape)))
        results = self._at(node, at)
        same_shape = all(value.type.static_shape == shape for value in node.results)
        check(same_shape, f"the results of '{node.op.name}' differ in shape", PassError)
        block: list[Stmt] = []
        accumulators: dict[Reduce, tuple[str, ...]] = {}
        for value, expr in zip(node.results, results, strict=True):
            if value in self.buffers:
                final = self._finished(expr, block, accumulators)
                block.append(Store(Ref(self.buffers[value].name, at), final))
        axes = zip((axis.name for axis in at), shape, strict=True)
        self.nests.extend(loops_over(axes, tuple(block)))

    def _at(self, node: Node, at: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """The results of a body at an index, with real buffers and inlined operands in them."""
        body = self.bodies[node]
        places = {axis.name: position for axis, position in zip(body.at, at, strict=True)}
        operands = list(dict.fromkeys(node.op.operands))

        def resolve(expr: Expr) -> Expr:
            expr = self._renamed(expr)
            expr = substitute_vars(expr, places)

            def visit(part: Expr) -> Expr | None:
                if not isinstance(part, Load) or not part.buffer.isdigit():
                    return None
                return self._read(operands[int(part.buffer)], part.indices)

            return rewrite_expr(expr, visit)

        return tuple(resolve(expr) for expr in body.results)

    def _read(self, value: Value, at: tuple[Expr, ...]) -> Expr:
        """The element of a value: a load, a literal, or its producer's body."""
        if value in self.buffers:
            return Load(value.dtype, self.buffers[value].name, at)
        if value in self.inlined:
            # One expression for equal indices, so that a reduction read twice is done once.
            if (value, at) not in self.expressions:
                node, position = self.inlined[value]
                self.expressions[value, at] = self._at(node, at)[position]
            return self.expressions[value, at]
        assert value.op is not None and isinstance(value.op, Constant)
        return const(value.op.value.array().reshape(-1)[0].item(), value.dtype)

    def _renamed(self, expr: Expr) -> Expr:
        """Give the axes of reductions names that are unique in the kernel."""

        def visit(part: Expr) -> Expr | None:
            if not isinstance(part, Reduce):
                return None
            renamed = {name: Var(INDEX, self._fresh(name)) for name, _ in part.axes}
            values = tuple(substitute_vars(value, renamed) for value in part.values)
            axes = tuple((renamed[name].name, extent) for name, extent in part.axes)
            return Reduce(part.dtype, part.combiner, axes, values, part.component)

        return rewrite_expr(expr, visit)

    def _finished(
        self, expr: Expr, block: list[Stmt], accumulators: dict[Reduce, tuple[str, ...]]
    ) -> Expr:
        """The expression with each reduction replaced by its accumulator, whose loops are added
        to `block`."""
        if not isinstance(expr, Reduce):
            parts = {
                part: self._finished(part, block, accumulators) for part in _outer_reduces(expr)
            }
            return _replaced(expr, parts)
        key = Reduce(expr.dtype, expr.combiner, expr.axes, expr.values)
        if key not in accumulators:
            accumulators[key] = self._reduction(expr, block)
        name = accumulators[key][expr.component]
        return Load(expr.dtype, name, ())

    def _reduction(self, expr: Reduce, block: list[Stmt]) -> tuple[str, ...]:
        """Init, update; the names of the accumulators."""
        combiner = COMBINERS[expr.combiner]
        names: list[str] = []
        for value, identity in zip(expr.values, combiner.identity, strict=True):
            buffer = Buffer(self._fresh("acc"), value.dtype, (), Space.REGISTER)
            self.locals.append(buffer)
            names.append(buffer.name)
            block.append(Store(Ref(buffer.name, ()), const(identity(value.dtype), value.dtype)))
        inner: list[Stmt] = []
        values = tuple(self._finished(value, inner, {}) for value in expr.values)
        targets = tuple(Ref(name, ()) for name in names)
        inner.append(Accumulate(expr.combiner, targets, values))
        block.extend(loops_over(expr.axes, tuple(inner)))
        return tuple(names)


def _outer_reduces(expr: Expr) -> list[Reduce]:
    if isinstance(expr, Reduce):
        return [expr]
    return [found for child in children(expr) for found in _outer_reduces(child)]


def _replaced(expr: Expr, parts: Mapping[Reduce, Expr]) -> Expr:
    """The expression with some of its reductions replaced, not looking inside of them."""
    if isinstance(expr, Reduce):
        return parts[expr]
    if not contains_reduce(expr):
        return expr
    match expr:
        case Apply(function=function, args=args):
            return apply(function, *(_replaced(arg, parts) for arg in args))
        case Cast(value=value):
            return replace(expr, value=_replaced(value, parts))
        case Load(indices=indices):
            return replace(expr, indices=tuple(_replaced(part, parts) for part in indices))
    return expr


def naive_kernel(fn: Function, name: str) -> Kernel:
    """The naive kernel of a group's function."""
    return Lowering(fn, name).kernel()
