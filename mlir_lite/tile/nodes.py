"""Tile IR: how a kernel is computed. Loops, buffers in memory spaces, and a short list of
statements; the whole language is in this file.

    kernel @relu(%x: f32[1024], %y: out f32[1024]) {
      parallel i.o in 0..64 {
        vector i.i in 0..16 {
          y[i.o * 16 + i.i] = max(x[i.o * 16 + i.i], 0.0)
        }
      }
    }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import prod
from typing import TypeAlias

from ..expr import Expr, substitute_vars
from ..types import DType


class Space(StrEnum):
    """Where a buffer lives.

    GLOBAL: memory that outlives the kernel (only parameters). SHARED: memory of one parallel
    iteration (a thread's own scratch on a CPU, a block's shared memory on a GPU). REGISTER:
    registers of one thread; every index must be a constant after unrolling and vectorising.
    FRAGMENT: registers of all threads of a warp or a warpgroup; the last index but one is the lane
    that has them. MATRIX: registers of a core that hold a matrix each, the last two dimensions;
    touched by instructions only, whole. BARRIER: shared memory that counts arrivals, touched by
    instructions only.
    """

    GLOBAL = "global"
    SHARED = "shared"
    REGISTER = "register"
    FRAGMENT = "fragment"
    MATRIX = "matrix"
    BARRIER = "barrier"


class Kind(StrEnum):
    """How a loop runs. ROLLED ones are not to be written out by any compiler. PARALLEL iterations
    are independent; VECTOR and UNROLL have constant limits; BLOCK, THREAD, WARP, WARPGROUP and LANE
    are a GPU's grid. A LANE loop of one iteration is done by the first thread."""

    SERIAL = "serial"
    ROLLED = "rolled"
    PARALLEL = "parallel"
    VECTOR = "vector"
    UNROLL = "unroll"
    BLOCK = "block"
    THREAD = "thread"
    WARP = "warp"
    WARPGROUP = "warpgroup"  # four warps
    LANE = "lane"


@dataclass(frozen=True, slots=True)
class Layout:
    """An index map from a buffer's logical index to the index in its memory, of shape `shape`.

    Transposed and strided views, panels and swizzles are index maps:
    `Layout(("i", "j"), (j, i), (m, n))` is the transpose.
    """

    axes: tuple[str, ...]
    indices: tuple[Expr, ...]
    shape: tuple[int, ...]

    def apply(self, at: tuple[Expr, ...]) -> tuple[Expr, ...]:
        mapping = dict(zip(self.axes, at, strict=True))
        return tuple(substitute_vars(part, mapping) for part in self.indices)


@dataclass(frozen=True, slots=True)
class Buffer:
    """A typed array in a space; row-major, or as `layout` says. Its address is a multiple of
    `alignment` bytes, as a caller must see to; of 0, of an element's."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    space: Space = Space.GLOBAL
    layout: Layout | None = None
    alignment: int = 0

    @property
    def memory_shape(self) -> tuple[int, ...]:
        return self.layout.shape if self.layout else self.shape

    @property
    def elements(self) -> int:
        return prod(self.memory_shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """How many elements each index of its memory counts."""
        shape = self.memory_shape
        return tuple([prod(shape[axis + 1 :]) for axis in range(len(shape))])


@dataclass(frozen=True, slots=True)
class Ref:
    """An element of a buffer, as the target of a write."""

    buffer: str
    indices: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a buffer given to a call: it starts at `offsets`, the callee's shape says how far."""

    buffer: str
    offsets: tuple[Expr, ...]


class Stmt:
    """A statement."""

    __slots__ = ()


Block: TypeAlias = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Loop(Stmt):
    """`for axis in start..stop`. Names of axes are unique in a kernel."""

    axis: str
    start: Expr
    stop: Expr
    body: Block
    kind: Kind = Kind.SERIAL


@dataclass(frozen=True, slots=True)
class If(Stmt):
    """In a vector loop the condition may differ by lane: then it masks loads and stores."""

    condition: Expr
    then: Block
    otherwise: Block = ()


@dataclass(frozen=True, slots=True)
class Let(Stmt):
    """Name a value for the rest of the block."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store(Stmt):
    """`nontemporal` writes past the caches, where the machine can: for what is read much later."""

    target: Ref
    value: Expr
    nontemporal: bool = False


@dataclass(frozen=True, slots=True)
class Accumulate(Stmt):
    """Join `values` into the states at `targets` (one each) with a combiner of the table.

    In a vector loop a target that does not depend on the lane takes all lanes, in a fixed tree.
    """

    combiner: str
    targets: tuple[Ref, ...]
    values: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Call(Stmt):
    """Call an instruction, or a Proc or Extern of the kernel, on windows of buffers and indices."""

    callee: str
    windows: tuple[Window, ...]
    scalars: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class Sync(Stmt):
    """Wait for all threads of a `scope` ("block", "warpgroup", "warp")."""

    scope: str


@dataclass(frozen=True, slots=True)
class Async(Stmt):
    """Copies and products that may complete as late as the `Wait` for their group; where they end
    with an arrival at a barrier, as late as an `Await` there."""

    group: str
    body: Block


@dataclass(frozen=True, slots=True)
class Wait(Stmt):
    """Wait until at most `pending` of a group's last Asyncs are incomplete."""

    group: str
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Await(Stmt):
    """Wait for the phase of a barrier that has this parity: the first has 0, the second 1, the
    third 0. A phase ends when all arrivals have come that the barrier was made for; the one before
    the first has ended."""

    barrier: Ref
    parity: Expr


@dataclass(frozen=True, slots=True)
class Proc:
    """An outlined piece of a kernel: its parameters are windows of buffers, and indices."""

    name: str
    params: tuple[Buffer, ...]
    scalars: tuple[str, ...]
    body: Block
    locals: tuple[Buffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Extern:
    """A C function of a library that a kernel may call, as Fortran is called: by pointers alone.

    `routine` names it in the table of `tile/lapack.py`. Its `arguments` are letters, numbers and
    buffers in the order in which it takes them; a call gives a window, contiguous in memory, for
    each buffer. It reads the buffers `reads` and writes the buffers `writes`; `operations` is the
    arithmetic that one call does, roughly.
    """

    name: str
    routine: str
    arguments: tuple[str | int | Buffer, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    operations: int = 0

    @property
    def params(self) -> tuple[Buffer, ...]:
        return tuple(entry for entry in self.arguments if isinstance(entry, Buffer))


@dataclass(frozen=True, slots=True)
class Kernel:
    """A unit of work on buffers. `outputs` names the parameters it writes (the others are read
    only); `locals` are its buffers in other spaces, uninitialised at the start of the
    innermost parallel (or block, thread) iteration that uses them."""

    name: str
    params: tuple[Buffer, ...]
    outputs: tuple[str, ...]
    body: Block
    locals: tuple[Buffer, ...] = ()
    procs: tuple[Proc, ...] = field(default=())
    externs: tuple[Extern, ...] = field(default=())

    @property
    def buffers(self) -> Mapping[str, Buffer]:
        return {buffer.name: buffer for buffer in self.params + self.locals}

    def with_body(self, body: Block) -> Kernel:
        return replace(self, body=body)

    def __str__(self) -> str:
        from .printer import print_kernel

        return print_kernel(self)
