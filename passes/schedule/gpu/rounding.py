"""Factors of a product that are made ready once, in memory of their own, rather than by every block
that reads them: rounded to a narrow type, or turned, where warpgroups know one order only.

    for m: for n: {..  for k: acc += f32(bf16(x[m, k])) * f32(w[n, k]) ..}
      ->  for m: for k: x.bf16[m, k] = bf16(x[m, k])
          for m: for n: {..  for k: acc += f32(x.bf16[m, k]) * f32(w[n, k]) ..}

    for m: for n: {..  for k: acc += tf32(x[m, k]) * tf32(w[k, n]) ..}
      ->  for n: for k: w.turned[n, k] = w[k, n]
          for m: for n: {..  for k: acc += tf32(x[m, k]) * tf32(w.turned[n, k]) ..}
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....expr import Apply, Cast, Expr, Load, Var, apply, cast, index, loads_of
from ....tile.alignment import WIDEST
from ....tile.nodes import Buffer, Kernel, Loop, Ref, Space, Store
from ....tile.tree import Names, accesses, nest, var
from ....types import f32
from .contraction import Contraction, Operand, narrowed


@dataclass(frozen=True)
class MadeReady:
    """The contraction of factors that are ready, and the kernels that make them so."""

    contraction: Contraction
    kernels: tuple[Kernel, ...] = ()
    buffers: tuple[Buffer, ...] = ()

    @property
    def moved_bytes(self) -> tuple[int, ...]:
        """What each of the kernels reads and writes."""
        return tuple(
            sum(param.elements * param.dtype.bytes for param in kernel.params)
            for kernel in self.kernels
        )


def made_ready(contraction: Contraction) -> MadeReady:
    """The contraction with its f32 factors rounded, or turned, before it."""
    names = Names(contraction.kernel)
    kernels: list[Kernel] = []
    sides: list[Operand] = []
    for side in (contraction.left, contraction.right):
        made = _rounded(contraction, side, names) or _turned(contraction, side, names)
        if made is not None:
            side, kernel = made
            kernels.append(kernel)
        sides.append(side)
    buffers = tuple(kernel.params[-1] for kernel in kernels)
    left, right = sides
    used = {load.buffer for side in sides for load in loads_of(side.value)}
    used |= {name for name, _, _ in accesses(contraction.finish)}
    own = contraction.kernel
    params = tuple(param for param in (*buffers, *own.params) if param.name in used)
    changed = replace(contraction, kernel=replace(own, params=params), left=left, right=right)
    return MadeReady(changed, tuple(kernels), buffers)


def _rounded(
    contraction: Contraction, side: Operand, names: Names
) -> tuple[Operand, Kernel] | None:
    """An element of an f32 array rounded to a narrow type, if that is what a factor is."""
    match narrowed(side).value:
        case Cast(value=Load(dtype=source) as load, dtype=dtype) if source == f32:
            pass
        case _:
            return None
    array = contraction.kernel.buffers[load.buffer]
    if not _is_plain(array):
        return None
    made = Buffer(names.fresh(f"{array.name}.{dtype}"), dtype, array.shape, alignment=WIDEST)
    at = _axes(made, names)
    element = cast(Load(f32, array.name, at), dtype)
    kernel = _kernel(f"{contraction.kernel.name}_round", array, made, at, element)
    return replace(side, value=cast(Load(dtype, made.name, load.indices), f32)), kernel


def _turned(contraction: Contraction, side: Operand, names: Names) -> tuple[Operand, Kernel] | None:
    """An element of an f32 array that is rounded to TF32, its neighbours those of other rows, out
    of an array whose last axes have changed places."""
    match side.value:
        case Apply(function="tf32", args=(Load() as load,)):
            pass
        case _:
            return None
    array = contraction.kernel.buffers[load.buffer]
    if not _is_plain(array) or len(array.shape) < 2 or contraction.runs_along_terms(side):
        return None
    shape = (*array.shape[:-2], *array.shape[:-3:-1])
    made = Buffer(names.fresh(f"{array.name}.turned"), f32, shape, alignment=WIDEST)
    at = _axes(made, names)
    element = Load(f32, array.name, (*at[:-2], *at[:-3:-1]))
    kernel = _kernel(f"{contraction.kernel.name}_turn", array, made, at, element)
    indices = (*load.indices[:-2], *load.indices[:-3:-1])
    return replace(side, value=apply("tf32", Load(f32, made.name, indices))), kernel


def _is_plain(array: Buffer) -> bool:
    return array.space is Space.GLOBAL and array.layout is None


def _axes(made: Buffer, names: Names) -> tuple[Var, ...]:
    return tuple(var(names.fresh(f"{made.name}{axis}")) for axis in range(len(made.shape)))


def _kernel(name: str, array: Buffer, made: Buffer, at: tuple[Var, ...], element: Expr) -> Kernel:
    """`made[at] = element` of an array, at all places."""
    loops = [
        Loop(axis.name, index(0), index(extent), ())
        for axis, extent in zip(at, made.shape, strict=True)
    ]
    store = Store(Ref(made.name, at), element)
    return Kernel(name, (array, made), (made.name,), nest(loops, (store,)))
