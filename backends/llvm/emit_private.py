"""Locals that belong to one iteration of a vector loop become one vector: an element a lane.

    vector l in 0..16 { t[] = x[l]; y[l] = t[] * t[] }
    ->  vector l in 0..16 { t'[l] = x[l]; y[l] = t'[l] * t'[l] }

Read one iteration after the other both mean the same; the second form says so for all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...expr import INDEX, Const, Expr, Load, Var, rewrite_expr, vars_of
from ...tile.nodes import Accumulate, Block, Buffer, Call, Kernel, Kind, Loop, Ref, Stmt, Store
from ...tile.scopes import initialises_first
from ...tile.traverse import map_blocks, map_expressions, walk
from ...tile.tree import accesses


def privatise(kernel: Kernel) -> Kernel:
    """Give every lane its own copy of the locals that a vector loop initialises for itself."""
    added: list[Buffer] = []

    def visit(stmt: Stmt) -> Stmt:
        match stmt:
            case Loop(kind=Kind.VECTOR, start=Const(value=start), stop=Const(value=stop)):
                copies = {
                    local.name: Buffer(
                        f"{local.name}@{stmt.axis}",
                        local.dtype,
                        (*local.shape, int(stop) - int(start)),
                        local.space,
                    )
                    for local in kernel.locals
                    if _is_private(local, stmt)
                }
                added.extend(copies.values())
                lane = Var(INDEX, stmt.axis) - int(start)
                return replace(stmt, body=_moved(stmt.body, copies, lane)) if copies else stmt
        return map_blocks(stmt, lambda block: tuple(visit(inner) for inner in block))

    body = tuple(visit(stmt) for stmt in kernel.body)
    return replace(kernel, body=body, locals=(*kernel.locals, *added)) if added else kernel


def _is_private(local: Buffer, loop: Loop) -> bool:
    """Whether each iteration writes the local before it reads it, and at no index of its own."""
    places = [at for name, at, _ in accesses(loop.body) if name == local.name]
    if not places or local.layout is not None:
        return False
    if any(loop.axis in vars_of(part) for at in places for part in at):
        return False
    if any(isinstance(stmt, Call) for stmt in walk(loop.body)):
        return False
    return initialises_first(loop.body, local)


def _moved(body: Block, copies: Mapping[str, Buffer], lane: Expr) -> Block:
    """The body on the lanes' own copies."""

    def load(node: Expr) -> Expr | None:
        if isinstance(node, Load) and node.buffer in copies:
            return Load(node.dtype, copies[node.buffer].name, (*node.indices, lane))
        return None

    def ref(target: Ref) -> Ref:
        if target.buffer not in copies:
            return target
        return Ref(copies[target.buffer].name, (*target.indices, lane))

    def own(block: Block) -> Block:
        return tuple(write(stmt) for stmt in block)

    def write(stmt: Stmt) -> Stmt:
        match map_blocks(stmt, own):
            case Store(target=target) as store:
                return replace(store, target=ref(target))
            case Accumulate(combiner=combiner, targets=targets, values=values):
                return Accumulate(combiner, tuple(ref(target) for target in targets), values)
            case other:
                return other

    return own(map_expressions(body, lambda expr: rewrite_expr(expr, load)))
