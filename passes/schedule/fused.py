"""The recipe for several elementwise nests over the same elements, such as an optimiser's step.

    for i: m1[i] = f(m[i]);  for j: p1[j] = g(p[j], m1[j])
      ->  parallel i: {let a = f(m[i]);  m1[i] = a;  p1[i] = g(p[i], a)}

so that what one computes for the next never leaves its register.
"""

from __future__ import annotations

from dataclasses import replace

from ...expr import Expr, Load, Var
from ...target import Target
from ...tile.nodes import Block, Kernel, Let, Loop, Space, Stmt, Store
from ...tile.steps.nests import common_depth, fuse_leading
from ...tile.traverse import rewrite_block
from ...tile.tree import Names, chain, nest
from .analysis import nests_of
from .elementwise import schedule_elementwise
from .loops import collapse_all


def is_fusible(kernel: Kernel) -> bool:
    """Whether a kernel is of several nests, each of which stores one element an iteration, and
    all of which read of one another only what the same iteration gives."""
    chains = [chain(stmt) for stmt in kernel.body if isinstance(stmt, Loop)]
    if len(chains) < 2 or len(chains) != len(kernel.body):
        return False
    depth = common_depth(kernel)
    return all(
        len(loops) == depth and len(body) == 1 and isinstance(body[0], Store)
        for loops, body in chains
    )


def schedule_fused(kernel: Kernel, target: Target) -> Kernel:
    """One nest, in which every value has a name, in vectors."""
    kernel = in_one_nest(kernel)
    (found,) = nests_of(kernel)
    return schedule_elementwise(kernel, found, target)


def in_one_nest(kernel: Kernel) -> Kernel:
    """One nest, in which every value has a name."""
    (loop,) = fuse_leading(kernel, common_depth(kernel)).body
    assert isinstance(loop, Loop)
    loops, body = chain(loop)
    kept = tuple(buffer for buffer in kernel.locals if buffer.space is not Space.SHARED)
    named = _named(kernel, body)
    return collapse_all(replace(kernel, body=nest(loops, named), locals=kept))


def _named(kernel: Kernel, body: Block) -> Block:
    """Stores that follow one another with what they read of each other in variables."""
    names = Names(kernel)
    found: list[Stmt] = []
    values: dict[str, Var] = {}

    def visit(node: Expr) -> Expr | None:
        return values.get(node.buffer) if isinstance(node, Load) else None

    for stmt in body:
        assert isinstance(stmt, Store)
        (changed,) = rewrite_block((stmt,), visit)
        assert isinstance(changed, Store)
        buffer = kernel.buffers[stmt.target.buffer]
        value = Var(changed.value.dtype, names.fresh(buffer.name))
        found.append(Let(value.name, changed.value))
        values[buffer.name] = value
        if buffer.name in kernel.outputs:
            found.append(Store(stmt.target, value))
    return tuple(found)
