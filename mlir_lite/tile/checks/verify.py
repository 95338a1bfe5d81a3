"""Checks of kernels and programs, independent of the passes that made them.

`verify_kernel` checks one kernel's names, types, accesses and races; `verify_program` the steps,
views and the memory plan; `live_bytes` says how much of the arena each step needs.
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
from ..analyses.accesses import Accesses, statement_text
from ..analyses.alignment import check_alignment
from ..analyses.scopes import (
    THREAD_KINDS,
    buffers_in,
    constant_limits,
    inner_blocks,
    targets_of,
    walk_scoped,
)
from ..inline import Scope, callee_of
from ..nodes import (
    Accumulate,
    Await,
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Space,
    Stmt,
    Store,
)
from ..traverse import blocks_of, expressions_of, walk
from .bounds import check_bounds
from .plan import live_bytes, verify_program
from .races import check_races

__all__ = ["live_bytes", "verify_kernel", "verify_program"]


def verify_kernel(kernel: Kernel, *, strict: bool = False) -> None:
    """Raise `VerifyError`, naming the statement, where a kernel breaks the rules of Tile IR.

    An index is wrong if it certainly leaves its buffer; with `strict` also if it is not proven to
    stay inside. Races must be proven absent in any case.
    """
    _check_parameters(kernel)
    _Names(kernel, kernel.params + kernel.locals, frozenset()).check(kernel.body)
    for proc in kernel.procs:
        _Names(kernel, proc.params + proc.locals, frozenset(proc.scalars)).check(proc.body)
    check_alignment(kernel)
    accesses = Accesses(kernel)
    _check_writes(kernel, accesses)
    _check_registers(accesses)
    _check_fragments(accesses)
    _check_thread_registers(accesses, accesses.body, ())
    _check_initialised(accesses)
    check_bounds(accesses, strict=strict)
    check_races(accesses)


def _unique(kernel: Kernel, names: Iterable[str], what: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise VerifyError(f"kernel '{kernel.name}': {count} {what} are called '{name}'")


def _check_parameters(kernel: Kernel) -> None:
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
        layout = buffer.layout
        if layout is None:
            continue
        ranks = (len(layout.axes), len(layout.indices))
        free = frozenset().union(*map(vars_of, layout.indices)) - frozenset(layout.axes)
        if ranks != (len(buffer.shape), len(layout.shape)) or free:
            message = f"the layout of '{buffer.name}' is ill-formed"
            raise VerifyError(f"kernel '{kernel.name}': {message}")


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


def _check_writes(kernel: Kernel, accesses: Accesses) -> None:
    read_only = {param.name for param in kernel.params} - set(kernel.outputs)
    written: set[str] = set()
    for stmt in walk_scoped(accesses.body):
        for target in targets_of(stmt):
            if target.buffer in read_only:
                raise accesses.fail(stmt, f"'{target.buffer}' is written, but is no output")
            written.add(target.buffer)
    for name in kernel.outputs:
        if name not in written:
            raise VerifyError(f"kernel '{kernel.name}': the output '{name}' is never written")


def _check_registers(accesses: Accesses) -> None:
    """Registers have no addresses: an index is constant once its loops are unrolled."""
    unrolled = {
        stmt.axis
        for stmt in walk_scoped(accesses.body)
        if isinstance(stmt, Loop) and stmt.kind in (Kind.VECTOR, Kind.UNROLL)
    }
    for site in accesses.sites(accesses.body):
        name = site.access.buffer
        if accesses.buffers[name].space != Space.REGISTER:
            continue
        for part in site.access.indices:
            loaded = any(isinstance(node, Load) for node in walk_expr(part))
            if loaded or not vars_of(part) <= unrolled:
                raise accesses.fail(
                    site.access.stmt, f"an index of the register '{name}' is not constant"
                )


def _check_fragments(accesses: Accesses) -> None:
    """A lane has its own part of a fragment only; instructions of the warp have all of it."""
    for site in accesses.sites(accesses.body):
        access = site.access
        lanes = [loop.axis for loop in site.loops if loop.kind is Kind.LANE]
        if not lanes or accesses.buffers[access.buffer].space is not Space.FRAGMENT:
            continue
        if access.indices[-2] != Var(INDEX, lanes[-1]):
            raise accesses.fail(
                access.stmt, f"a lane has no part of '{access.buffer}' but its own"
            )


def _check_thread_registers(
    accesses: Accesses, body: Block, outside: tuple[str, ...]
) -> None:
    """A register belongs to one thread: no two thread loops share one, nor do the code around."""
    for stmt in body:
        if isinstance(stmt, Loop) and stmt.kind in THREAD_KINDS:
            for name in outside:
                if name in buffers_in(stmt):
                    raise accesses.fail(
                        stmt, f"the register '{name}' is used outside of these threads too"
                    )
        declared = tuple(
            local.name
            for local in (stmt.locals if isinstance(stmt, Scope) else ())
            if local.space == Space.REGISTER
        )
        for inner in inner_blocks(stmt):
            _check_thread_registers(accesses, inner, (*outside, *declared))


def _check_initialised(accesses: Accesses) -> None:
    """A local is written before it is read, as far as the order of the text tells."""
    written: set[str] = {param.name for param in accesses.kernel.params}
    for site in accesses.sites(accesses.body):
        access = site.access
        joins = isinstance(access.stmt, Accumulate)
        if access.buffer not in written and (joins or not access.writes) and not site.conditions:
            raise accesses.fail(access.stmt, f"'{access.buffer}' is read before it is written")
        if access.writes:
            written.add(access.buffer)
