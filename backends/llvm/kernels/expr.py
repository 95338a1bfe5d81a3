"""Evaluation of expressions: scalar where all lanes agree, one vector value where they differ.

Index arithmetic and conditions without loads are written in the outermost scope that knows their
variables; everything else where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias
from weakref import proxy

from ....errors import VerifyError
from ....expr import INDEX, Apply, Cast, Const, Expr, Load, Var, bounds_of, has_loads
from ....expr.simplify import linear
from ....types import bf16, f32, i32
from ..scalars.convert import round_flushed
from ..scalars.masks import known_mask
from ..text.scopes import Value, literal
from .address import Addresses
from .frame import Frame
from .index import Indices
from .memory import Memory
from .registers import Registers

# The id of a node, the lane it is evaluated for, the guard's name.
NodeKey: TypeAlias = tuple[int, int | None, str | None]

_ORDER = ("lt", "le", "gt", "ge")


@dataclass
class Evaluator:
    """Turns expressions into values at the point of the text that `frame` describes."""

    frame: Frame
    registers: Registers
    aliased: frozenset[str] = frozenset()
    indices: Indices = field(init=False)
    memory: Memory = field(init=False)
    _known: dict[NodeKey, tuple[Expr, Value]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Weak, so that it makes no cycle: what a kernel's emission takes goes when that is done.
        self.indices = Indices(self.frame, partial(Evaluator._atom, proxy(self)))
        addresses = Addresses(self.frame, self.indices)
        self.memory = Memory(self.frame, addresses, self.registers, self.aliased)

    def start_statement(self) -> None:
        """Forget values by node: loads and variables may now mean something else."""
        self._known = {}

    def evaluate(self, expr: Expr) -> Value:
        """The value of an expression, of 1 lane or of the vector axis's lanes."""
        guard = self.frame.guard
        key = (id(expr), self.frame.lane, None if guard is None else guard.name)
        known = self._known.get(key)
        if known is not None:
            return known[1]
        value = self._evaluate(expr)
        self._known[key] = (expr, value)  # the node is held, so its id stays its own
        return value

    def _evaluate(self, expr: Expr) -> Value:
        match expr:
            case Const():
                return literal(expr.value, expr.dtype)
            case Var():
                return self._variable(expr)
            case Load():
                return self.memory.load(expr)
            case Cast(value=Apply(function="flush", args=(x,)), dtype=dtype) if dtype == bf16:
                return self._flushed(self.evaluate(x), expr)
            case Cast():
                return self.frame.scalars.convert(self.evaluate(expr.value), expr.dtype)
            case Apply():
                if expr.dtype == INDEX or expr.dtype.kind == "b":
                    return self._index_or_condition(expr)
                if expr.function == "select":
                    return self._select(expr)
                return self._apply(expr)
        raise VerifyError(f"no machine code for {type(expr).__name__} here")

    def _flushed(self, value: Value, expr: Cast) -> Value:
        """A number rounded to bf16 without its subnormal ones, by one instruction if there is."""
        scalars = self.frame.scalars
        done = round_flushed(scalars.out, value) if value.dtype == f32 else None
        return done or scalars.convert(scalars.apply("flush", value), expr.dtype)

    def together(self, *values: Value) -> tuple[Value, ...]:
        """Values of as many lanes each."""
        lanes = max(value.lanes for value in values)
        return tuple(self.frame.scalars.spread(value, lanes) for value in values)

    def condition(self, expr: Expr) -> Value | bool:
        """A condition's value; a Python bool where the limits of its variables decide it."""
        if has_loads(expr):
            return self.evaluate(expr)
        resolved = self.frame.resolve(expr)
        if isinstance(resolved, Const):
            return bool(resolved.value)
        return self.evaluate(resolved)

    def _variable(self, var: Var) -> Value:
        frame = self.frame
        if var.name in frame.replaced:
            return self.evaluate(frame.replaced[var.name])
        if frame.vector is not None and var.name == frame.vector.name:
            return self.indices.lane_numbers(frame.vector.start, 1)
        value = frame.binding(var.name).value
        return value if frame.lane is None else frame.scalars.lane(value, frame.lane)

    def _index_or_condition(self, expr: Apply) -> Value:
        if has_loads(expr):
            if expr.function == "select":
                return self._select(expr)
            return self._apply(expr)
        resolved = self.frame.resolve(expr)
        if isinstance(resolved, Const):
            return literal(resolved.value, resolved.dtype)
        if not isinstance(resolved, Apply):
            return self.evaluate(resolved)
        with self.frame.out.hoisted(self.frame.depth_of(resolved)), self._apart():
            if resolved.dtype == INDEX:
                return self._index(resolved)
            if resolved.function in _ORDER and resolved.args[0].dtype == INDEX:
                mask = self._lane_mask(resolved)
                if mask is not None:
                    return mask
            return self._apply(resolved)

    def _index(self, expr: Expr) -> Value:
        terms = linear(expr)
        if self.frame.varies(expr):
            return self.indices.vector(terms)
        return self.indices.scalar(terms)

    def _atom(self, term: Expr) -> Value:
        """A term of a sum: anything that is not itself a sum."""
        match term:
            case Apply(function="floordiv" | "mod", args=(value, Const(value=by))) if (
                term.dtype == INDEX and by > 0 and bounds_of(value, self.frame.bounds)[0] >= 0
            ):
                # A dividend that is never negative needs none of the corrections of flooring.
                opcode = "udiv" if term.function == "floordiv" else "urem"
                a, b = self.together(self.evaluate(value), literal(by, INDEX))
                return self.frame.scalars.binary(opcode, a, b)
            case Apply(dtype=dtype) if dtype == INDEX and not has_loads(term):
                return self._apply(term)
        return self.evaluate(term)

    def _apply(self, expr: Apply) -> Value:
        args = self.together(*(self.evaluate(arg) for arg in expr.args))
        return self.frame.scalars.apply(expr.function, *args)

    def _lane_mask(self, expr: Apply) -> Value | None:
        """`rest ± axis < 0` as a comparison of the lanes' numbers with one limit, in i32."""
        axis = self.frame.vector
        if axis is None or not self.frame.varies(expr):
            return None
        left, right = expr.args
        terms = linear(left - right)
        factor = terms.pop(Var(INDEX, axis.name), 0)
        uniform = all(term is None or not self.frame.varies(term) for term in terms)
        if factor not in (1, -1) or not uniform:
            return None
        # axis + rest < 0 is axis < -rest; rest - axis < 0 is axis >= rest + 1; and so on.
        limit = {term: -factor * coefficient for term, coefficient in terms.items()}
        if (factor == 1) == (expr.function in ("le", "gt")):
            limit[None] = limit.get(None, 0) + 1
        below = (factor == 1) == (expr.function in ("lt", "le"))
        return self._lanes_below(limit, below=below)

    def _lanes_below(self, terms: dict[Expr | None, int], *, below: bool) -> Value:
        axis, scalars = self.frame.vector, self.frame.scalars
        assert axis is not None
        limit = self.indices.scalar(terms)
        if limit.number is not None:
            known = range(axis.start, axis.start + axis.lanes)
            return known_mask((lane < limit.number) == below for lane in known)
        low, high = literal(axis.start, INDEX), literal(axis.start + axis.lanes, INDEX)
        limit = scalars.intrinsic("smin", scalars.intrinsic("smax", limit, low), high)
        limit = scalars.spread(scalars.convert(limit, i32), axis.lanes)
        numbers = ", ".join(f"i32 {axis.start + lane}" for lane in range(axis.lanes))
        lanes = Value(f"<{numbers}>", i32, axis.lanes)
        return scalars.compare("lt" if below else "ge", lanes, limit)

    def _select(self, expr: Apply) -> Value:
        """Arms with loads are guarded: what a load must not touch there, it does not."""
        condition = self.condition(expr.args[0])
        then, otherwise = expr.args[1:]
        if isinstance(condition, bool):
            return self.evaluate(then if condition else otherwise)
        scalars = self.frame.scalars
        yes = self._arm(then, condition)
        inverse = scalars.apply("not", condition) if has_loads(otherwise) else condition
        no = self._arm(otherwise, inverse)
        yes, no = self.together(yes, no)
        lanes = max(condition.lanes, yes.lanes)
        if condition.lanes > 1:
            yes, no = scalars.spread(yes, lanes), scalars.spread(no, lanes)
        return scalars.select(condition, yes, no)

    def _arm(self, arm: Expr, condition: Value) -> Value:
        if not has_loads(arm):
            return self.evaluate(arm)
        with self.frame.guarded(condition):
            return self.evaluate(arm)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Values made within stand in another scope: they are not found by node outside."""
        before, self._known = self._known, {}
        try:
            yield
        finally:
            self._known = before
