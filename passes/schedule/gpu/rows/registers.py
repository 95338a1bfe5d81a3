"""What the lanes of a warp hold of rows: their parts of what was read and computed, and values that
all lanes of a row know; each in registers of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .....expr import Expr, Load, index, substitute_vars
from .....expr.traverse import children, with_children
from .....tile.instructions.copies import load_name, store_name
from .....tile.instructions.warps import LANES
from .....tile.nodes import Buffer, Call, Ref, Space, Stmt, Store, Window
from .....tile.tree import Names, var
from .....types import DType
from ..held import at_place
from .reductions import ELEMENT, Rows, named
from .shares import Share

ZERO = index(0)


@dataclass(frozen=True)
class Element:
    """An element that a lane has: of a run of neighbours in one of its turns, in loops over
    `axis`. `own` are the registers with what was read for this run alone."""

    axis: str
    turn: Expr
    number: Expr
    own: Mapping[Load, Buffer]


@dataclass
class Registers:
    """The registers of lanes: `held` of loads, and `fragments` of the buffers of the kernel."""

    rows: Rows
    share: Share
    names: Names
    warp: str
    lane: str
    held: dict[Load, Buffer] = field(default_factory=dict)
    fragments: dict[str, Buffer] = field(default_factory=dict)
    locals: list[Buffer] = field(default_factory=list)

    def keep(self, held: tuple[Load, ...]) -> None:
        """Name the registers, those of these loads too."""
        share = self.share
        for load in held:
            runs = (share.turns, LANES, share.width)
            self.held[load] = self.local(load.buffer, load.dtype, runs)
        for local in self.rows.kernel.locals:
            each = share.turns * share.width if local.space is Space.SHARED else 0
            shape = (each, LANES, 1)[0 if each else 1 :]
            self.fragments[local.name] = self.local(local.name, local.dtype, shape)

    def local(
        self, name: str, dtype: DType, shape: tuple[int, ...], space: Space = Space.FRAGMENT
    ) -> Buffer:
        """A new buffer of the kernel."""
        buffer = Buffer(self.names.fresh(f"{name}_", "_"), dtype, shape, space)
        self.locals.append(buffer)
        return buffer

    @property
    def place(self) -> Expr:
        """The number of a lane among those that have one row."""
        if self.share.warps > 1:
            return var(self.warp) * LANES + var(self.lane)
        return var(self.lane) % self.share.lanes

    def single(self, buffer: Buffer) -> Ref:
        """A lane's register of a value."""
        return Ref(buffer.name, (var(self.lane), ZERO))

    def loaded(self, buffer: Buffer) -> Load:
        """A lane's value."""
        return Load(buffer.dtype, buffer.name, (var(self.lane), ZERO))

    def first(self, turn: Expr) -> Expr:
        """The first element of a lane's run in a turn."""
        return (turn * self.share.together + self.place) * self.share.width

    def kept(self, element: Element) -> tuple[Expr, ...]:
        """Where a row's own buffers have an element."""
        return (element.turn * self.share.width + element.number, var(self.lane), ZERO)

    def read(self, load: Load, to: Buffer, at: tuple[Expr, ...], turn: Expr) -> Stmt:
        """Read a run into registers."""
        indices = at_place(load.indices, ELEMENT, self.first(turn))
        if self.share.width == 1:
            return Store(Ref(to.name, (*at, ZERO)), Load(load.dtype, load.buffer, indices))
        windows = (Window(to.name, (*at, ZERO)), Window(load.buffer, indices))
        return Call(load_name(load.dtype, self.share.width), windows)

    def write(self, store: Store, values: Buffer, axis: str, turn: Expr) -> Stmt:
        """Write a run from registers."""
        indices = at_place(store.target.indices, axis, self.first(turn))
        windows = (Window(store.target.buffer, indices), Window(values.name, (ZERO,)))
        return Call(store_name(values.dtype, self.share.width), windows)

    def value(self, expr: Expr, element: Element) -> Expr:
        """An expression of an element, with what is in registers out of them."""
        found = self._register(expr, element) if isinstance(expr, Load) else None
        if found is not None:
            return found
        parts = children(expr)
        if not parts:
            here = self.first(element.turn) + element.number
            return substitute_vars(expr, {element.axis: here})
        new = tuple(self.value(part, element) for part in parts)
        return with_children(expr, new) if new != parts else expr

    def _register(self, load: Load, element: Element) -> Load | None:
        """Where a lane has what a load reads."""
        fragment = self.fragments.get(load.buffer)
        if fragment is not None:
            if len(fragment.shape) == 2:
                return self.loaded(fragment)
            return Load(load.dtype, fragment.name, self.kept(element))
        key = named(load, element.axis)
        if key in self.held:
            at = (element.turn, var(self.lane), element.number)
            return Load(load.dtype, self.held[key].name, at)
        if key in element.own:
            return Load(load.dtype, element.own[key].name, (element.number,))
        return None
