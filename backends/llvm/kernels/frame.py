"""What the emitter knows at a point of a kernel: names, limits, the vector axis, the guard.

Variables are either replaced by expressions (unrolled axes, index `Let`s) or bound to values with
the depth of the scope whose head may use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ....errors import VerifyError
from ....expr import Const, Expr, Var, index, simplify, substitute_vars, vars_of
from ....tile.nodes import Buffer
from ..scalars.rules import Scalars
from ..text.scopes import ScopedText, Value
from .calls import BoundWindow


@dataclass(frozen=True, slots=True)
class Binding:
    """A variable's value and the scope in which it is known."""

    value: Value
    depth: int


@dataclass(frozen=True, slots=True)
class VectorAxis:
    """The axis of the vector loop at hand: it runs from `start` over `lanes` lanes."""

    name: str
    start: int
    lanes: int


@dataclass
class Frame:
    """The state while one function is emitted.

    `guard` says for which lanes (or whether) the code runs: a bool of 1 lane or of all lanes.
    `lane` is set while an expression is evaluated for one lane of the vector axis. `masked_bytes`
    are those of the widest vector that the target stores by a mask of its elements.
    """

    out: ScopedText
    scalars: Scalars
    buffers: Mapping[str, Buffer]
    pointers: dict[str, str] = field(default_factory=dict)
    windows: Mapping[str, BoundWindow] = field(default_factory=dict)
    replaced: dict[str, Expr] = field(default_factory=dict)
    values: dict[str, Binding] = field(default_factory=dict)
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    vector: VectorAxis | None = None
    lane: int | None = None
    guard: Value | None = None
    masked_bytes: int = 0

    def located(self, name: str, at: tuple[Expr, ...]) -> tuple[str, tuple[Expr, ...]]:
        """The kernel's buffer, and the index there, of an access in the proc at hand."""
        window = self.windows.get(name)
        return (name, at) if window is None else (window.buffer, window.move(at))

    def buffer_of(self, name: str) -> Buffer:
        """The kernel's buffer that a name means here."""
        window = self.windows.get(name)
        return self.buffers[name if window is None else window.buffer]

    def resolve(self, expr: Expr) -> Expr:
        """An index or condition without replaced variables, simplified by the known limits."""
        if isinstance(expr, Const):
            return expr
        if self.replaced and not vars_of(expr).isdisjoint(self.replaced):
            expr = substitute_vars(expr, self.replaced)
        return simplify(expr, self.bounds)

    def constant(self, expr: Expr, what: str) -> int:
        """The value of an expression that must be constant here."""
        resolved = self.resolve(expr)
        if not isinstance(resolved, Const):
            raise VerifyError(f"{what} must be constant, not {resolved}")
        return int(resolved.value)

    def varies(self, expr: Expr) -> bool:
        """Whether the value differs by lane."""
        if self.vector is None or self.lane is not None:
            return False
        if isinstance(expr, Var):
            return self._variable_varies(expr.name)
        return any(map(self._variable_varies, vars_of(expr)))

    def differs_by_lane(self, name: str) -> bool:
        """Whether a name is bound to a value that differs by lane, also while one is at hand."""
        return name in self.values and self.values[name].value.lanes > 1

    def depth_of(self, expr: Expr) -> int:
        """The outermost scope in whose head an expression without loads can be computed."""
        return max(map(self._variable_depth, vars_of(expr)), default=0)

    def _variable_varies(self, name: str) -> bool:
        if name in self.replaced:
            return self.varies(self.replaced[name])
        assert self.vector is not None
        return name == self.vector.name or self.binding(name).value.lanes > 1

    def _variable_depth(self, name: str) -> int:
        if name in self.replaced:
            return self.depth_of(self.replaced[name])
        if self.vector is not None and name == self.vector.name:
            return 0  # the lanes' numbers are constants
        return self.binding(name).depth

    def binding(self, name: str) -> Binding:
        bound = self.values.get(name)
        if bound is None:
            raise VerifyError(f"the variable '{name}' is not defined here")
        return bound

    @contextmanager
    def inside(self, windows: Mapping[str, BoundWindow]) -> Iterator[None]:
        """In the body of a proc whose buffers are these."""
        before, self.windows = self.windows, windows
        try:
            yield
        finally:
            self.windows = before

    @contextmanager
    def along(self, axis: VectorAxis) -> Iterator[None]:
        """Inside the vector loop over `axis`."""
        self.vector = axis
        self.bounds[axis.name] = (axis.start, axis.start + axis.lanes - 1)
        try:
            yield
        finally:
            self.vector = None

    @contextmanager
    def at_lane(self, lane: int) -> Iterator[None]:
        """Evaluate for one lane of the vector axis."""
        assert self.vector is not None
        name = self.vector.name
        self.lane, self.replaced[name] = lane, index(self.vector.start + lane)
        try:
            yield
        finally:
            self.lane = None
            del self.replaced[name]

    @contextmanager
    def guarded(self, condition: Value) -> Iterator[None]:
        """Run only where `condition` holds too."""
        before = self.guard
        self.guard = condition if before is None else self._both(before, condition)
        try:
            yield
        finally:
            self.guard = before

    def _both(self, a: Value, b: Value) -> Value:
        lanes = max(a.lanes, b.lanes)
        spread = self.scalars.spread
        return self.scalars.binary("and", spread(a, lanes), spread(b, lanes))

    def scalar_guard(self) -> Value | None:
        """Whether the code runs in any lane, or in the lane at hand."""
        if self.guard is None or self.guard.lanes == 1:
            return self.guard
        if self.lane is not None:
            return self.scalars.lane(self.guard, self.lane)
        name = f"llvm.vector.reduce.or.v{self.guard.lanes}i1"
        return Value(self.out.call("i1", name, self.guard), self.guard.dtype)
