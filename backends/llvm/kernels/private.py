"""Locals that belong to one iteration of a vector loop become one vector: an element a lane.

    vector l in 0..16 { t[] = x[l]; y[l] = t[] * t[] }
    ->  vector l in 0..16 { t'[l] = x[l]; y[l] = t'[l] * t'[l] }

Read one iteration after the other both mean the same; the second form says so for all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from ....errors import VerifyError
from ....expr import INDEX, Const, Expr, Load, Var, rewrite_expr, vars_of
from ....tile.analyses.scopes import initialises_first
from ....tile.nodes import Accumulate, Block, Buffer, Call, Kernel, Kind, Loop, Ref, Stmt, Store
from ....tile.traverse import loads_in, map_blocks, map_expressions, walk
from ....tile.tree import accesses


def privatise(kernel: Kernel) -> Kernel:
    """Give every lane its own copy of the locals that a vector loop initialises for itself."""
    added: list[Buffer] = []
    body = _privatised(kernel.body, kernel.locals, added)
    return replace(kernel, body=body, locals=(*kernel.locals, *added)) if added else kernel


def _privatised(block: Block, local_buffers: Sequence[Buffer], added: list[Buffer]) -> Block:
    """A block of `privatise`; the copies that it needs go to `added`."""
    result: list[Stmt] = []
    for stmt in block:
        match stmt:
            case Loop(kind=Kind.VECTOR, start=Const(value=start), stop=Const(value=stop)):
                copies = {
                    local.name: Buffer(
                        f"{local.name}@{stmt.axis}",
                        local.dtype,
                        (*local.shape, int(stop) - int(start)),
                        local.space,
                    )
                    for local in local_buffers
                    if _is_private(local, stmt)
                }
                added.extend(copies.values())
                lane = Var(INDEX, stmt.axis) - int(start)
                moved = replace(stmt, body=_moved(stmt.body, copies, lane)) if copies else stmt
                result.append(moved)
            case _:
                part = partial(_privatised, local_buffers=local_buffers, added=added)
                result.append(map_blocks(stmt, part))
    return tuple(result)


def check_sums(kernel: Kernel) -> None:
    """`VerifyError` for a vector loop that adds all lanes to one element and uses it otherwise:
    lane after lane that has a meaning, of all at once it is the sum of all lanes."""
    for loop in walk(kernel.body):
        if not isinstance(loop, Loop) or loop.kind is not Kind.VECTOR:
            continue
        added = {
            (target.buffer, target.indices)
            for stmt in walk(loop.body)
            if isinstance(stmt, Accumulate)
            for target in stmt.targets
            if not any(loop.axis in vars_of(part) for part in target.indices)
        }
        for stmt in walk(loop.body) if added else ():
            loads = loads_in(stmt)
            used = {(load.buffer, load.indices) for load in loads}
            if isinstance(stmt, Store):
                used.add((stmt.target.buffer, stmt.target.indices))
            for buffer, _ in sorted(used & added, key=lambda place: place[0]):
                message = f"all lanes of '{loop.axis}' are summed in one element of '{buffer}'"
                raise VerifyError(f"{message}, which each uses, in the kernel '{kernel.name}'")


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
