"""Factors of a product that are made ready once, in memory of their own, rather than by every block
that reads them: rounded to a narrow type, or turned, where warpgroups know one order only.

    for m: for n: {..  for k: acc += f32(bf16(x[m, k])) * f32(w[n, k]) ..}
      ->  for m: for k: x.bf16[m, k] = bf16(x[m, k])
          for m: for n: {..  for k: acc += f32(x.bf16[m, k]) * f32(w[n, k]) ..}

    for m: for n: {..  for k: acc += tf32(x[m, k]) * tf32(w[k, n]) ..}
      ->  for n: for k: w.turned[n, k] = tf32(w[k, n])
          for m: for n: {..  for k: acc += tf32(x[m, k]) * tf32_cut(w.turned[n, k]) ..}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from .....expr import Apply, Cast, Expr, Load, Var, apply, cast, index, loads_of
from .....tile.analyses.alignment import WIDEST
from .....tile.nodes import Buffer, Kernel, Loop, Ref, Space, Store
from .....tile.tree import Names, accesses, nest, var
from .....types import f32
from ...analysis import stride
from .contraction import Contraction, Operand

_T = TypeVar("_T")


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


def made_ready(contraction: Contraction, *, rounds_tf32: bool) -> MadeReady:
    """The contraction with its f32 factors rounded, or turned, before it; those of TF32 need no
    rounding where the engine that copies them does it."""
    names = Names(contraction.kernel)
    kernels: list[Kernel] = []
    sides: list[Operand] = []
    for side in (contraction.left, contraction.right):
        made = _made_ready(contraction, side, names, rounds_tf32)
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


def is_rounded_late(operand: Operand) -> bool:
    """Whether an operand is copied as it lies in memory, to be rounded to TF32 after that."""
    match operand.value:
        case Apply(function="tf32", args=(Load(),)):
            return True
    return False


def _made_ready(
    contraction: Contraction, side: Operand, names: Names, rounds_tf32: bool
) -> tuple[Operand, Kernel] | None:
    """An element of an f32 array rounded to a narrow type, or to TF32, if that is what a factor is,
    and not there yet; of TF32 whose neighbours are those of other rows out of an array whose last
    axes have changed places."""
    match side.value:
        case Cast(value=Cast(value=Load(dtype=source) as load, dtype=dtype)) if source == f32:
            name, turned = str(dtype), False
        case Apply(function="tf32" | "tf32_cut" as name, args=(Load() as load,)):
            dtype, turned = f32, _is_to_turn(contraction, side, load)
            if not turned and (name == "tf32_cut" or not rounds_tf32):
                return None
        case _:
            return None
    array = contraction.kernel.buffers[load.buffer]
    if not _is_plain(array):
        return None
    shape = _swapped(array.shape) if turned else array.shape
    made_name = f"{array.name}.{'turned' if turned else name}"
    made = Buffer(names.fresh(made_name), dtype, shape, alignment=WIDEST)
    at = _axes(made, names)
    element: Expr = Load(f32, array.name, _swapped(at) if turned else at)
    read = name
    if dtype != f32:
        element = cast(element, dtype)
    elif rounds_tf32 and name == "tf32":
        element, read = apply("tf32", element), "tf32_cut"
    step = "turn" if turned else "round"
    kernel = _kernel(f"{contraction.kernel.name}_{step}", array, made, at, element)
    ready = Load(dtype, made.name, _swapped(load.indices) if turned else load.indices)
    value = apply(read, ready) if dtype == f32 else cast(ready, f32)
    return replace(side, value=value), kernel


def _is_to_turn(contraction: Contraction, side: Operand, load: Load) -> bool:
    """Whether terms will be neighbours where the last axes of an array have changed places."""
    array = contraction.kernel.buffers[load.buffer]
    if len(array.shape) < 2 or contraction.runs_along_terms(side):
        return False
    turned = replace(array, shape=_swapped(array.shape))
    return stride(turned, _swapped(load.indices), contraction.terms[-1].axis) == 1


def _swapped(axes: tuple[_T, ...]) -> tuple[_T, ...]:
    """The last two have changed places."""
    return (*axes[:-2], *axes[:-3:-1])


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
