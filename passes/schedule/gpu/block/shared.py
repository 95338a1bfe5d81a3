"""The shared memory that a block has: what does not fit goes to global memory, a part a block."""

from __future__ import annotations

from dataclasses import replace

from .....expr import Expr, Load, rewrite_expr
from .....sizes import round_up
from .....target import Gpu
from .....tile.analyses.alignment import WIDEST
from .....tile.nodes import Block, Buffer, Kernel, Layout, Loop, Ref, Space
from .....tile.traverse import map_expressions
from .....tile.tree import extent_of, map_refs, var


def shared_bytes(kernel: Kernel) -> int:
    """The bytes of a kernel's shared buffers, side by side."""
    return sum(_bytes(local) for local in kernel.locals if local.space is Space.SHARED)


def _bytes(buffer: Buffer) -> int:
    return round_up(buffer.elements * buffer.dtype.bytes, WIDEST)


def spilled(
    kernel: Kernel, gpu: Gpu, most: int | None = None
) -> tuple[Kernel, tuple[Buffer, ...]]:
    """The kernel with its largest shared buffers in global memory until the others fit, into `most`
    bytes if it may ask for them, and those buffers: a part a block, as parameters that it writes.

    shared s: f32[n]; .. s[i] ..   ->   global s: f32[blocks, n]; .. s[block, i] ..
    """
    moved: list[Buffer] = []
    (outer,) = kernel.body
    assert isinstance(outer, Loop)
    while shared_bytes(kernel) > (most or gpu.static_shared_bytes):
        shared = [local for local in kernel.locals if local.space is Space.SHARED]
        largest = max(shared, key=_bytes)
        spacious = _for_blocks(largest, extent_of(outer))
        body = _indexed(kernel.body, largest.name, var(outer.axis))
        kernel = replace(
            kernel,
            params=(*kernel.params, spacious),
            outputs=(*kernel.outputs, spacious.name),
            locals=tuple(local for local in kernel.locals if local is not largest),
            body=body,
        )
        moved.append(spacious)
    return kernel, tuple(moved)


def _for_blocks(buffer: Buffer, blocks: int) -> Buffer:
    """The buffer in global memory, with a copy for each block."""
    layout = buffer.layout
    if layout is not None:
        axes, indices = ("block#", *layout.axes), (var("block#"), *layout.indices)
        layout = Layout(axes, indices, (blocks, *layout.shape))
    shape = (blocks, *buffer.shape)
    return replace(buffer, shape=shape, layout=layout, space=Space.GLOBAL, alignment=WIDEST)


def _indexed(block: Block, name: str, first: Expr) -> Block:
    """Accesses to a buffer with one more index, the first."""

    def visit(node: Expr) -> Expr | None:
        if isinstance(node, Load) and node.buffer == name:
            return Load(node.dtype, name, (first, *node.indices))
        return None

    def moved(ref: Ref) -> Ref:
        return Ref(name, (first, *ref.indices)) if ref.buffer == name else ref

    return map_refs(map_expressions(block, lambda expr: rewrite_expr(expr, visit)), moved)
