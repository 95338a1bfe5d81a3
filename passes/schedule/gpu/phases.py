"""Kernels of several nests cut into launches: a block does not wait for another, a launch does.

    for i: t[i] = f(i);  for j: y[j] = g(t)   ->   launch 1: for i: t[i] = f(i)
                                                   launch 2: for j: y[j] = g(t)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ....expr import Const, Expr, Load
from ....tile.analyses.alignment import WIDEST
from ....tile.nodes import Block, Buffer, Call, Kernel, Loop, Ref, Space
from ....tile.traverse import rewrite_block, walk
from ....tile.tree import accesses, map_refs


def phases(
    kernel: Kernel, *, mixed: bool = False
) -> tuple[tuple[Kernel, ...], tuple[Buffer, ...]]:
    """A kernel for each nest at the top, and the buffers through which they hand things on.

    The kernel itself where something else than loops stands there: of a `mixed` one, what shares
    registers is a phase.
    """
    blocks = _blocks(kernel)
    used = [_touched(block) for block in blocks]
    crossing = _crossing(used, kernel)
    loops = all(len(block) == 1 and isinstance(block[0], Loop) for block in blocks)
    if len(blocks) < 2 or not (loops or mixed):
        return (kernel,), ()
    workspaces = tuple(
        replace(buffer, space=Space.GLOBAL, alignment=WIDEST) for buffer in crossing
    )
    given = replace(
        kernel,
        params=(*kernel.params, *workspaces),
        locals=tuple(buffer for buffer in kernel.locals if buffer not in crossing),
    )
    parts = enumerate(zip(blocks, used, strict=True), start=1)
    made = tuple(_part(given, f"{kernel.name}_{number}", *part) for number, part in parts)
    return made, workspaces


def _blocks(kernel: Kernel) -> list[Block]:
    """The statements at the top, those that share registers with all between them as one block."""
    registers = {local.name for local in kernel.locals if local.space is Space.REGISTER}
    found: list[Block] = []
    for stmt in kernel.body:
        own = _touched((stmt,)) & registers
        first = next(
            (place for place, block in enumerate(found) if _touched(block) & own), len(found)
        )
        merged = tuple(part for block in found[first:] for part in block)
        found[first:] = [(*merged, stmt)]
    return found


def _crossing(used: Iterable[frozenset[str]], kernel: Kernel) -> list[Buffer]:
    """The locals that more than one phase uses."""
    parts = list(used)
    return [local for local in kernel.locals if sum(local.name in names for names in parts) > 1]


def _touched(block: Block) -> frozenset[str]:
    calls = [stmt for stmt in walk(block) if isinstance(stmt, Call)]
    given = {window.buffer for call in calls for window in call.windows}
    return frozenset(name for name, _, _ in accesses(block)) | given


def _part(kernel: Kernel, name: str, block: Block, used: frozenset[str]) -> Kernel:
    """The kernel of one phase, with what it uses: what it writes comes last."""
    written = {buffer for buffer, _, writes in accesses(block) if writes}
    params = [buffer for buffer in kernel.params if buffer.name in used]
    outputs = tuple(buffer.name for buffer in params if buffer.name in written)
    ordered = sorted(params, key=lambda buffer: buffer.name in written)
    kept = tuple(buffer for buffer in kernel.locals if buffer.name in used)
    return replace(
        kernel, name=name, params=tuple(ordered), outputs=outputs, body=block, locals=kept
    )


def with_registers(kernel: Kernel) -> Kernel:
    """Local buffers of one element, or with constant indices only, in registers."""
    constant = {local.name for local in kernel.locals}
    for name, indices, _ in accesses(kernel.body):
        if not all(isinstance(part, Const) for part in indices):
            constant.discard(name)
    moved = tuple(
        replace(local, space=Space.REGISTER) if local.name in constant else local
        for local in kernel.locals
    )
    return replace(kernel, locals=moved)


def without_unit_axes(kernel: Kernel) -> Kernel:
    """Local buffers without their axes of one element.

    shared t: f32[1, 300];  t[0, j]   ->   shared t: f32[300];  t[j]
    """
    kept = {
        local.name: [axis for axis, extent in enumerate(local.shape) if extent > 1]
        for local in kernel.locals
        if local.elements > 1 and 1 in local.shape and local.layout is None
    }
    if not kept or any(isinstance(stmt, Call) for stmt in walk(kernel.body)):
        return kernel

    def without(name: str, indices: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(indices[axis] for axis in kept[name]) if name in kept else indices

    def load(node: Expr) -> Expr | None:
        if isinstance(node, Load) and node.buffer in kept:
            return replace(node, indices=without(node.buffer, node.indices))
        return None

    body = map_refs(
        rewrite_block(kernel.body, load),
        lambda ref: Ref(ref.buffer, without(ref.buffer, ref.indices)),
    )
    local = tuple(
        replace(one, shape=tuple(one.shape[axis] for axis in kept[one.name]))
        if one.name in kept
        else one
        for one in kernel.locals
    )
    return replace(kernel, body=body, locals=local)
