"""What the stages of an attention kernel are written with: operands where they lie, loops over
blocks and nests, reductions, buffers of a block.

    for s_block1 in 0..n: ..  for s2: for t3: {acc = 0;  for d4: acc += ..;  scores[t3, s2] = acc}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...expr import COMBINERS, INDEX, Expr, Load, Var, apply, cast, const, index, select
from ...tile.nodes import Accumulate, Block, Buffer, Loop, Ref, Space, Stmt, Store
from ...tile.tree import loops_over
from ...types import DType, bool_
from ..base.body import computing_type
from ..kernels.stored import Stored


@dataclass(frozen=True)
class AttentionSizes:
    """How much is computed at once, and of what: see `BlockedAttention`."""

    scale: float
    causal: bool
    fill: float
    unseen_is_zero: bool
    rows: int
    columns: int


@dataclass
class AttentionLoops:
    """A kernel under construction: its operands and what it has of its own. Axes are called `s` for
    queries, `t` for keys, `d` for what both are multiplied over and `e` for the columns of values,
    with a number for each stage."""

    queries: Stored
    keys: Stored
    values: Stored
    mask: Stored | None
    result: Stored
    sizes: AttentionSizes
    locals: list[Buffer] = field(default_factory=list)
    axes: int = 0

    @property
    def batch(self) -> tuple[Var, ...]:
        """The axes before those of queries and columns."""
        return tuple(Var(INDEX, f"b{axis}") for axis in range(len(self.result.shape) - 2))

    def masked(self, score: Expr, t: Expr, s: Expr) -> Expr:
        """A score with what the mask makes of it."""
        if self.mask is None:
            return score
        fill = const(self.sizes.fill, score.dtype)
        if self.mask.buffer.dtype == bool_:
            return select(self.mask.load((*self.batch, t, s)), score, fill)
        return score + self.mask.wide((*self.batch, t, s))

    def stored(self, mean: Expr, s: Expr, e: Expr) -> Store:
        """An element of the result."""
        out = self.result
        place = out.place(self.batch, s, e)
        return Store(Ref(out.buffer.name, place), cast(mean, out.buffer.dtype))

    def in_blocks(
        self,
        name: str,
        extent: int,
        size: int,
        body: Callable[[Expr, int], Block],
        *,
        count: Expr | None = None,
    ) -> Block:
        """A loop over whole blocks (the first `count` of them), and what is left over on its own;
        `body` is given where a block starts and its size."""
        whole, rest = divmod(extent, size)
        result: list[Stmt] = []
        if whole:
            axis = self.axis(f"{name}_block")
            stop = index(whole) if count is None else apply("min", count, index(whole))
            result.append(Loop(axis.name, index(0), stop, body(axis * size, size)))
        if rest:
            result.extend(body(index(whole * size), rest))
        return tuple(result)

    def nest(self, extents: dict[str, int], body: Callable[..., Sequence[Stmt]]) -> Stmt:
        """Loops around what `body` gives at their axes."""
        axes = [self.axis(name) for name in extents]
        names = (axis.name for axis in axes)
        (made,) = loops_over(zip(names, extents.values(), strict=True), tuple(body(*axes)))
        return made

    def reduced(
        self,
        combiner: str,
        name: str,
        extent: int,
        value: Callable[[Expr], Expr],
        finish: Callable[[Expr], Sequence[Stmt]],
    ) -> list[Stmt]:
        """A reduction, and the statements that take its result."""
        axis = self.axis(name)
        term = value(axis)
        total = self.local("acc", space=Space.REGISTER)
        start = const(COMBINERS[combiner].identity[0](term.dtype), term.dtype)
        update = Accumulate(combiner, (Ref(total.name, ()),), (term,))
        loop = Loop(axis.name, index(0), index(extent), (update,))
        return [store(total, start), loop, *finish(load(total))]

    def local(
        self, name: str, *shape: int, space: Space = Space.SHARED, dtype: DType | None = None
    ) -> Buffer:
        """A new buffer of a block, of the type that is computed in unless of another."""
        dtype = dtype or computing_type(self.queries.buffer.dtype)
        made = Buffer(f"{name}{len(self.locals)}", dtype, shape, space)
        self.locals.append(made)
        return made

    def axis(self, name: str) -> Var:
        """A new axis."""
        self.axes += 1
        return Var(INDEX, f"{name}{self.axes}")


def load(buffer: Buffer, *at: Expr) -> Load:
    """An element of a buffer."""
    return Load(buffer.dtype, buffer.name, at)


def store(buffer: Buffer, value: Expr, *at: Expr) -> Store:
    """A store to an element of a buffer."""
    return Store(Ref(buffer.name, at), value)
