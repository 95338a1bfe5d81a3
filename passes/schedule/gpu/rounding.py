"""Factors of a product that are rounded once, into memory of their own, rather than by every block
that reads them.

    for m: for n: {..  for k: acc += f32(bf16(x[m, k])) * f32(w[n, k]) ..}
      ->  for m: for k: x.bf16[m, k] = bf16(x[m, k])
          for m: for n: {..  for k: acc += f32(x.bf16[m, k]) * f32(w[n, k]) ..}
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....expr import Cast, Load, cast, index, loads_of
from ....tile.alignment import WIDEST
from ....tile.nodes import Buffer, Kernel, Loop, Ref, Space, Store
from ....tile.tree import Names, accesses, nest, var
from ....types import f32
from .contraction import Contraction, Operand, narrowed


@dataclass(frozen=True)
class RoundedOnce:
    """The contraction of factors that are rounded already, and the kernels that round them."""

    contraction: Contraction
    kernels: tuple[Kernel, ...]
    buffers: tuple[Buffer, ...]

    @property
    def moved_bytes(self) -> int:
        """What the kernels read and write."""
        return sum(
            param.elements * param.dtype.bytes for kernel in self.kernels for param in kernel.params
        )


def rounded_once(contraction: Contraction) -> RoundedOnce:
    """The contraction with its f32 factors rounded before it."""
    names = Names(contraction.kernel)
    kernels: list[Kernel] = []
    sides: list[Operand] = []
    for side in (contraction.left, contraction.right):
        load = _rounded_load(contraction, side)
        if load is None:
            sides.append(side)
            continue
        kernel = _rounding(contraction, side, load, names)
        kernels.append(kernel)
        (made,) = kernel.outputs
        value = cast(Load(narrowed(side).value.dtype, made, load.indices), f32)
        sides.append(replace(side, value=value))
    buffers = tuple(kernel.params[-1] for kernel in kernels)
    left, right = sides
    used = {load.buffer for side in sides for load in loads_of(side.value)}
    used |= {name for name, _, _ in accesses(contraction.finish)}
    own = contraction.kernel
    params = tuple(param for param in (*buffers, *own.params) if param.name in used)
    changed = replace(contraction, kernel=replace(own, params=params), left=left, right=right)
    return RoundedOnce(changed, tuple(kernels), buffers)


def _rounded_load(contraction: Contraction, side: Operand) -> Load | None:
    """The element of an f32 array that a factor is, rounded."""
    match narrowed(side).value:
        case Cast(value=Load(dtype=dtype) as load) if dtype == f32:
            buffer = contraction.kernel.buffers[load.buffer]
            plain = buffer.space is Space.GLOBAL and buffer.layout is None
            return load if plain else None
    return None


def _rounding(contraction: Contraction, side: Operand, load: Load, names: Names) -> Kernel:
    source = contraction.kernel.buffers[load.buffer]
    dtype = narrowed(side).value.dtype
    made = Buffer(
        names.fresh(f"{source.name}.{dtype}"), dtype, source.shape, alignment=WIDEST
    )
    axes = [names.fresh(f"{made.name}{axis}") for axis in range(len(source.shape))]
    at = tuple(map(var, axes))
    store = Store(Ref(made.name, at), cast(Load(f32, source.name, at), dtype))
    loops = [
        Loop(axis, index(0), index(extent), ())
        for axis, extent in zip(axes, source.shape, strict=True)
    ]
    return Kernel(
        f"{contraction.kernel.name}_round", (source, made), (made.name,), nest(loops, (store,))
    )
