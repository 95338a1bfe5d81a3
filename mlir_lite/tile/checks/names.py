"""The verifier's checks of names: what a kernel declares, and whether its text uses it so: indices,
types of expressions, callees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ...errors import VerifyError
from ...expr import (
    COMBINERS,
    FUNCTIONS,
    INDEX,
    Apply,
    Expr,
    Load,
    Reduce,
    Var,
    vars_of,
    walk_expr,
)
from ...types import DType, bool_
from ..analyses.accesses import statement_text
from ..analyses.scopes import constant_limits
from ..inline import callee_of
from ..nodes import (
    Accumulate,
    Await,
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Layout,
    Let,
    Loop,
    Space,
    Stmt,
    Store,
)
from ..traverse import blocks_of, expressions_of, walk


def check_names(kernel: Kernel) -> None:
    """Raise `VerifyError` where a kernel or one of its procs declares something wrongly, or uses a
    name as what it is not."""
    _check_declarations(kernel)
    _Names(kernel, kernel.params + kernel.locals, frozenset()).check(kernel.body)
    for proc in kernel.procs:
        _Names(kernel, proc.params + proc.locals, frozenset(proc.scalars)).check(proc.body)


def _unique(kernel: Kernel, names: Iterable[str], what: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise VerifyError(f"kernel '{kernel.name}': {count} {what} are called '{name}'")


def _check_declarations(kernel: Kernel) -> None:
    _unique(kernel, (buffer.name for buffer in kernel.params + kernel.locals), "buffers")
    _unique(kernel, kernel.outputs, "outputs")
    callees = [*(proc.name for proc in kernel.procs), *(extern.name for extern in kernel.externs)]
    _unique(kernel, callees, "procs")
    for name in kernel.outputs:
        if name not in {param.name for param in kernel.params}:
            raise VerifyError(f"kernel '{kernel.name}': the output '{name}' is no parameter")
    for param in kernel.params:
        if param.space != Space.GLOBAL:
            raise VerifyError(f"kernel '{kernel.name}': '{param.name}' is not in global memory")
    for local in kernel.locals:
        if local.space == Space.GLOBAL:
            raise VerifyError(f"kernel '{kernel.name}': the local '{local.name}' is global")
    for buffer in kernel.params + kernel.locals:
        if buffer.layout is not None and not _is_well_formed(buffer.layout, len(buffer.shape)):
            message = f"the layout of '{buffer.name}' is ill-formed"
            raise VerifyError(f"kernel '{kernel.name}': {message}")


def _is_well_formed(layout: Layout, rank: int) -> bool:
    """Whether a layout has an axis for each of a buffer's, an index for each of the memory's, and
    indices of these axes alone."""
    used = frozenset().union(*map(vars_of, layout.indices))
    return (
        len(layout.axes) == rank
        and len(layout.indices) == len(layout.shape)
        and used <= frozenset(layout.axes)
    )


class _Names:
    """Checks names, arities and types of a body, before calls are inlined."""

    def __init__(
        self, kernel: Kernel, buffers: Sequence[Buffer], scalars: frozenset[str]
    ) -> None:
        self.kernel = kernel
        self.buffers = {buffer.name: buffer for buffer in buffers}
        self.names: dict[str, DType] = dict.fromkeys(scalars, INDEX)

    def check(self, body: Block) -> None:
        stmts = list(walk(body))
        bound = [stmt.axis for stmt in stmts if isinstance(stmt, Loop)]
        bound += [stmt.name for stmt in stmts if isinstance(stmt, Let)]
        _unique(self.kernel, (*bound, *self.names), "axes or names")
        self.block(body, self.names)

    def fail(self, stmt: Stmt, message: str) -> VerifyError:
        text = statement_text(self.kernel, stmt)
        return VerifyError(f"kernel '{self.kernel.name}': {message}, in `{text}`")

    def block(self, block: Block, names: Mapping[str, DType]) -> None:
        inside = dict(names)
        for stmt in block:
            for expr in expressions_of(stmt):
                self.expression(expr, stmt, inside)
            self.statement(stmt)
            if isinstance(stmt, Let):
                inside[stmt.name] = stmt.value.dtype
            deeper = {**inside, stmt.axis: INDEX} if isinstance(stmt, Loop) else inside
            for inner in blocks_of(stmt):
                self.block(inner, deeper)

    def expression(self, expr: Expr, stmt: Stmt, names: Mapping[str, DType]) -> None:
        reductions = [node for node in walk_expr(expr) if isinstance(node, Reduce)]
        bound = {axis for node in reductions for axis, _ in node.axes}
        for node in walk_expr(expr):
            match node:
                case Var(name=name, dtype=dtype):
                    if names.get(name, INDEX if name in bound else None) != dtype:
                        raise self.fail(stmt, f"'{name}' is not defined here as {dtype}")
                case Load(buffer=buffer, indices=indices, dtype=dtype):
                    self.reference(buffer, indices, dtype, stmt)
                case Apply():
                    self.application(node, stmt)

    def application(self, node: Apply, stmt: Stmt) -> None:
        function = FUNCTIONS.get(node.function)
        if function is None or len(node.args) != function.arity:
            raise self.fail(stmt, f"no function '{node.function}' of {len(node.args)} arguments")
        same = node.args[1:] if node.function == "select" else node.args
        types = {arg.dtype for arg in same}
        result = bool_ if function.gives_bool else same[0].dtype
        guarded = node.function != "select" or node.args[0].dtype == bool_
        if len(types) != 1 or node.dtype != result or not guarded:
            raise self.fail(stmt, f"'{node.function}' of wrong types")

    def reference(
        self, name: str, indices: Sequence[Expr], dtype: DType | None, stmt: Stmt
    ) -> None:
        buffer = self.buffers.get(name)
        if buffer is None:
            raise self.fail(stmt, f"no buffer is called '{name}'")
        if len(indices) != len(buffer.shape):
            raise self.fail(
                stmt, f"'{name}' takes {len(buffer.shape)} indices, not {len(indices)}"
            )
        if any(part.dtype != INDEX for part in indices):
            raise self.fail(stmt, f"an index of '{name}' is not of type {INDEX}")
        if dtype is not None and dtype != buffer.dtype:
            raise self.fail(stmt, f"'{name}' holds {buffer.dtype}, not {dtype}")

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case Loop(start=start, stop=stop, kind=kind):
                if (start.dtype, stop.dtype) != (INDEX, INDEX):
                    raise self.fail(stmt, f"a loop's limits are not of type {INDEX}")
                if kind in (Kind.VECTOR, Kind.UNROLL) and constant_limits(stmt) is None:
                    raise self.fail(stmt, f"a {kind} loop needs constant limits")
            case If(condition=condition) if condition.dtype != bool_:
                raise self.fail(stmt, "a condition is not of type bool")
            case Store(target=target, value=value):
                self.reference(target.buffer, target.indices, value.dtype, stmt)
            case Accumulate():
                self.accumulation(stmt)
            case Call():
                self.call(stmt)
            case Await(barrier=barrier, parity=parity):
                self.reference(barrier.buffer, barrier.indices, None, stmt)
                if self.buffers[barrier.buffer].space is not Space.BARRIER:
                    raise self.fail(stmt, f"'{barrier.buffer}' is no barrier")
                if parity.dtype != INDEX:
                    raise self.fail(stmt, f"a parity is not of type {INDEX}")

    def accumulation(self, stmt: Accumulate) -> None:
        combiner = COMBINERS.get(stmt.combiner)
        if combiner is None:
            raise self.fail(stmt, f"no combiner is called '{stmt.combiner}'")
        if not len(combiner.identity) == len(stmt.targets) == len(stmt.values):
            raise self.fail(stmt, f"'{stmt.combiner}' has {len(combiner.identity)} states")
        for target, value in zip(stmt.targets, stmt.values, strict=True):
            self.reference(target.buffer, target.indices, value.dtype, stmt)

    def call(self, call: Call) -> None:
        callee = callee_of(self.kernel, call)
        for param, window in zip(callee.params, call.windows, strict=True):
            self.reference(window.buffer, window.offsets, param.dtype, call)
        if any(extern.name == callee.name for extern in self.kernel.externs):
            for param, window in zip(callee.params, call.windows, strict=True):
                self.contiguous(param, self.buffers[window.buffer], call)

    def contiguous(self, param: Buffer, buffer: Buffer, call: Call) -> None:
        """A C function sees memory only: a window's elements must follow one another there."""
        rank = len(param.shape)
        inner = buffer.shape[len(buffer.shape) - rank + 1 :] if rank else ()
        plain = buffer.layout is None and buffer.space != Space.REGISTER
        if not plain or param.shape[1:] != inner:
            raise self.fail(call, f"the window of '{buffer.name}' is not contiguous")
