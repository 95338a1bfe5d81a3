"""Sums of products by tiles: a tile of the result a block, of which each thread has a part in
registers. Tiles of the operands come into shared memory while those that came before are used.

    for m: for n: {acc = 0;  for k: acc += left[m, k] * right[k, n];  y[m, n] = f(acc)}
      ->  block: thread: {async tiles {left, right <- step 0};  ..
            for step: {wait tiles;  sync;  async tiles {left, right <- step + 3};
                       for k: {a = left[k];  b = right[k];  sums[i, j] += a[i] * b[j]}}
            y[m, n] = f(sums[i, j])}

Where such blocks would be too few for a card each does a part of the sum, and a second kernel adds
the parts in the order of the terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .....expr import Load, const, index, loads_of
from .....target import Gpu
from .....tile.analyses.alignment import WIDEST
from .....tile.nodes import Accumulate, Buffer, Kernel, Loop, Ref, Store
from .....tile.tree import Names, accesses, nest, var
from .contraction import Contraction, count, narrow_type
from .patches import with_boxes
from .rounding import MadeReady, is_rounded_late, made_ready
from .threads import by_tiles
from .tiles import (
    Sizes,
    choose_tile,
    choose_warp_tile,
    choose_warpgroup_tile,
    is_worth_moving,
)
from .warpgroups import by_warpgroups
from .warps import by_warps


@dataclass(frozen=True)
class Tiled:
    """A product's kernel by tiles; what is to be done before and after it, not scheduled yet; and
    the buffers between them."""

    kernel: Kernel
    before: tuple[Kernel, ...] = ()
    after: tuple[Kernel, ...] = ()
    buffers: tuple[Buffer, ...] = ()


def schedule_product(contraction: Contraction, gpu: Gpu) -> Tiled:
    """The kernels of a product, by the tiles that take the least time."""
    sizes = _sizes(contraction)
    narrow = narrow_type(contraction)
    if narrow is None:
        plain = choose_tile(sizes, contraction.total.dtype, gpu)
        return _in_parts(contraction, plain.splits, lambda part: by_tiles(part, plain))
    ready = made_ready(contraction, rounds_tf32=False)
    boxed = with_boxes(ready.contraction) if gpu.warpgroup_products else None
    cut = None
    if boxed is not None:
        cut = choose_warpgroup_tile(sizes, _sizes(boxed), narrow, gpu, ready.moved_bytes)
    if cut is not None:
        made = _in_parts(ready.contraction, cut.splits, lambda part: by_warpgroups(part, cut))
    else:
        ready = made_ready(contraction, rounds_tf32=True)
        if not is_worth_moving(sizes, narrow, gpu, ready.moved_bytes, _late(contraction)):
            ready = MadeReady(contraction)
        tile = choose_warp_tile(sizes, narrow, gpu, _late(ready.contraction))
        made = _in_parts(ready.contraction, tile.splits, lambda part: by_warps(part, tile))
    return replace(made, before=ready.kernels, buffers=(*ready.buffers, *made.buffers))


def _sizes(contraction: Contraction) -> Sizes:
    left, right = contraction.left, contraction.right
    return Sizes(count(contraction.batch), left.extent, right.extent, contraction.depth)


def _late(contraction: Contraction) -> tuple[bool, bool]:
    return is_rounded_late(contraction.left), is_rounded_late(contraction.right)


def _in_parts(
    contraction: Contraction, splits: int, tiled: Callable[[Contraction], Kernel]
) -> Tiled:
    if splits == 1:
        return Tiled(tiled(contraction))
    partial, rest, parts = split_terms(contraction, splits)
    return Tiled(tiled(partial), after=(rest,), buffers=(parts,))


def split_terms(contraction: Contraction, splits: int) -> tuple[Contraction, Kernel, Buffer]:
    """Leave parts of the sums to a second kernel.

    for m: for n: {acc = 0;  for k: ..;  y[m, n] = f(acc)}
      ->  for part: for m: for n: {acc = 0;  for k of part: ..;  parts[part, m, n] = acc}
          for m: for n: {acc = 0;  for part: acc += parts[part, m, n];  y[m, n] = f(acc)}
    """
    kernel, total = contraction.kernel, contraction.total
    names = Names(kernel)
    part = names.fresh("part")
    loops = [*contraction.batch, *contraction.left.loops, *contraction.right.loops]
    shape = (splits, *(count((loop,)) for loop in loops))
    parts = Buffer(names.fresh("parts"), total.dtype, shape, alignment=WIDEST)
    at = (var(part), *(var(loop.axis) - loop.start for loop in loops))
    kept = Store(Ref(parts.name, at), Load(total.dtype, total.name, ()))
    factors = (contraction.left.value, contraction.right.value)
    read = {load.buffer for factor in factors for load in loads_of(factor)}
    partial = replace(
        kernel,
        name=f"{kernel.name}_parts",
        params=(*(param for param in kernel.params if param.name in read), parts),
        outputs=(parts.name,),
    )
    clear = Store(Ref(total.name, ()), const(0, total.dtype))
    add = Accumulate("sum", (Ref(total.name, ()),), (Load(total.dtype, parts.name, at),))
    every = Loop(part, index(0), index(splits), (add,))
    body = nest(loops, (clear, every, *contraction.finish))
    used = {name for name, _, _ in accesses(contraction.finish)}
    params = tuple(param for param in kernel.params if param.name in used)
    rest = replace(kernel, name=f"{kernel.name}_sum", params=(parts, *params), body=body)
    return replace(contraction, kernel=partial, finish=(kept,), part=part), rest, parts
