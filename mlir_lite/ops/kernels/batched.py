"""What the kernels of linear algebra are built from: a batch of matrices, one after the other, each
brought to where a C function works on it.

LAPACK counts columns first. A matrix that lies row after row is there its own transpose; the
kernels ask for the factors of that, so that nothing is copied but for the result's own place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...expr import INDEX, Expr, Load, Var, const, index, substitute_vars
from ...tile.nodes import (
    Block,
    Buffer,
    Call,
    Extern,
    Kernel,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Window,
)
from ...types import DType, f64, i32

BATCH, ROW, COLUMN = (Var(INDEX, name) for name in "bij")
ZERO = index(0)


def letter(dtype: DType) -> str:
    """The first letter of a routine's name for an element type."""
    return "d" if dtype == f64 else "s"


def scratch(name: str, dtype: DType, *shape: int) -> Buffer:
    """Memory of one matrix' own."""
    return Buffer(name, dtype, shape, Space.SHARED)


def over(rows: int, columns: int, target: Ref, value: Expr, *, mark: str = "") -> Stmt:
    """A store for all `i` and `j`; `mark` tells the axes of several such nests apart."""
    axes = {"i": Var(INDEX, f"i{mark}"), "j": Var(INDEX, f"j{mark}")}
    place = Ref(target.buffer, tuple(substitute_vars(part, axes) for part in target.indices))
    stmt: Stmt = Store(place, substitute_vars(value, axes))
    for axis, extent in (("j", columns), ("i", rows)):
        stmt = Loop(axes[axis].name, index(0), index(extent), (stmt,))
    return stmt


def window(buffer: Buffer) -> Window:
    """All of one matrix' part of a buffer: a parameter's at `b`, or a local's own."""
    if buffer.space is Space.SHARED:
        return Window(buffer.name, (ZERO,) * len(buffer.shape))
    return Window(buffer.name, (BATCH, *(ZERO,) * (len(buffer.shape) - 1)))


class Routine:
    """A C function with the buffers that it is called on."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | int | Buffer],
        modes: Mapping[str, str],
        operations: int,
    ) -> None:
        """`modes` says "in", "out" or "inout" of each buffer by name; others are written only."""
        self.windows = tuple(window(entry) for entry in arguments if isinstance(entry, Buffer))
        inner = tuple(
            _own_part(entry) if isinstance(entry, Buffer) else entry for entry in arguments
        )
        names = [entry.name for entry in inner if isinstance(entry, Buffer)]
        self.extern = Extern(
            name,
            name,
            inner,
            tuple(buffer for buffer in names if modes.get(buffer, "out") != "out"),
            tuple(buffer for buffer in names if modes.get(buffer, "out") != "in"),
            operations,
        )

    @property
    def call(self) -> Call:
        return Call(self.extern.name, self.windows)


def _own_part(buffer: Buffer) -> Buffer:
    """What a routine sees of a buffer: one matrix, one vector, or one number of a batch."""
    if buffer.space is Space.SHARED:
        return Buffer(buffer.name, buffer.dtype, buffer.shape)
    return Buffer(buffer.name, buffer.dtype, buffer.shape[1:] or (1,))


def batched(
    name: str,
    inputs: Sequence[Buffer],
    outputs: Sequence[Buffer],
    body: Block,
    *,
    locals_: Sequence[Buffer] = (),
    routines: Sequence[Routine] = (),
) -> Kernel:
    """The kernel that runs a body for each matrix `b` of a batch."""
    batch = outputs[0].shape[0]
    return Kernel(
        name,
        (*inputs, *outputs),
        tuple(buffer.name for buffer in outputs),
        (Loop("b", index(0), index(batch), body, Kind.PARALLEL),),
        tuple(locals_),
        externs=tuple(routine.extern for routine in routines),
    )


def element(buffer: Buffer, *at: Expr) -> Load:
    """An element of one matrix: at `b` of a parameter."""
    first = () if buffer.space is Space.SHARED else (BATCH,)
    return Load(buffer.dtype, buffer.name, (*first, *at))


def place(buffer: Buffer, *at: Expr) -> Ref:
    """Where an element of one matrix is written."""
    return Ref(buffer.name, element(buffer, *at).indices)


def number(dtype: DType, value: float) -> Expr:
    """A number of this element type."""
    return const(value, dtype)


def status(name: str = "info") -> Buffer:
    """Where a routine says that it failed, when nobody asks."""
    return scratch(name, i32, 1)
