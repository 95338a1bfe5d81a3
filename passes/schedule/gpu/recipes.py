"""Which recipe a naive kernel gets on a graphics card.

Nests over the same rows run together, a block a row; others are launches of their own, with what
they leave each other in global memory. In a launch a thread does one iteration of the independent
loops, or a block does, whose threads share what is in it.
"""

from __future__ import annotations

from dataclasses import replace

from ....target import Gpu
from ....tile.analyses.alignment import WIDEST, with_needed_alignment
from ....tile.nodes import Buffer, Kernel, Kind, Loop, Space, Stmt
from ....tile.steps.collapse import collapse_alike
from ....tile.steps.lift_guards import lift_guards
from ....tile.steps.nests import common_depth, fuse_leading, privatise_in_blocks
from ....tile.traverse import map_blocks
from ....tile.tree import tidy, without_aliases, without_unread
from ..analysis import is_bound
from ..fused import in_one_nest, is_fusible
from ..loops import collapse_all
from .block.marked import bind_marked, is_marked
from .block.recipe import bind_block
from .block.shared import shared_bytes, spilled
from .column_pieces import bind_columns
from .columns import as_columns
from .grid import bind_grid, hoist_independent
from .long_sums import with_pieces
from .phases import phases, with_registers, without_unit_axes
from .products.contraction import Contraction, as_contraction, narrow_type, narrowed
from .products.groups import by_groups
from .products.recipe import schedule_product
from .rows.lanes import bind_rows
from .rows.pieces import by_inner_sums, in_pieces
from .rows.reductions import as_rows
from .rows.shares import Dealt, deal
from .running import as_running, bind_running
from .scatters import as_scatter, bind_scatter
from .stored_runs import with_stored_runs
from .transposed import as_transposed, bind_transposed
from .transposed_wide import bind_wide_transposed
from .window_tiles import by_windows
from .windows import as_windows
from .work import are_few, independent_loops, indexes_registers, prefers_blocks

FEW_ROWS = 32  # of a product that reads its other factor about once


def schedule_launches(kernel: Kernel, gpu: Gpu) -> tuple[tuple[Kernel, ...], tuple[Buffer, ...]]:
    """The kernels to launch one after the other, and their workspaces."""
    if not kernel.body or kernel.externs:  # of an empty array; C functions, which no card has
        return (kernel,), ()
    if is_bound(kernel):
        return _rest(kernel, gpu)
    if is_marked(kernel):
        marked, own = bind_marked(kernel, gpu)
        return (_finished(marked),), own
    prepared = tidy(_serial(kernel))
    if all(buffer.elements == 1 for buffer in prepared.locals if buffer.space is Space.REGISTER):
        prepared = privatise_in_blocks(prepared)
    whole = with_pieces(prepared, gpu)
    if whole is prepared:
        together = _together(prepared, gpu)
        parts, workspaces = ((together,), ()) if holds_rows(together, gpu) else phases(together)
    else:
        parts, workspaces = phases(whole, mixed=True)
    scheduled: list[Kernel] = []
    for part in parts:
        bound, own = _launches(part, gpu)
        scheduled.extend(map(_finished, bound))
        workspaces = (*workspaces, *own)
    return tuple(scheduled), workspaces


def _rest(kernel: Kernel, gpu: Gpu) -> tuple[tuple[Kernel, ...], tuple[Buffer, ...]]:
    """The launches of a kernel of which parts are bound."""
    parts, workspaces = phases(kernel)
    scheduled: list[Kernel] = []
    for part in parts:
        made, own = ((with_stored_runs(part),), ()) if is_bound(part) else _bound(part, gpu)
        scheduled.extend(map(_finished, made))
        workspaces = (*workspaces, *own)
    return tuple(scheduled), workspaces


def _finished(launch: Kernel) -> Kernel:
    """A launch without names that say nothing, asking its callers for no alignment in vain."""
    return with_needed_alignment(without_unread(without_aliases(launch)))


def _serial(kernel: Kernel) -> Kernel:
    """The kernel with loops that say nothing of how they run; the recipes find out. Those whose
    axes are indices of registers are unrolled."""

    def one(stmt: Stmt) -> Stmt:
        stmt = map_blocks(stmt, lambda block: tuple(map(one, block)))
        if isinstance(stmt, Loop) and stmt.kind in (Kind.PARALLEL, Kind.VECTOR):
            kind = Kind.UNROLL if indexes_registers(kernel, stmt) else Kind.SERIAL
            return replace(stmt, kind=kind)
        return stmt

    return kernel.with_body(tuple(map(one, kernel.body)))


def _together(kernel: Kernel, gpu: Gpu) -> Kernel:
    """Nests over the same elements or rows as one, if what they share fits into a block."""
    if is_fusible(kernel):
        return in_one_nest(kernel)
    if len(kernel.body) < 2:
        return kernel
    depth = common_depth(kernel)
    if not depth or any(_contraction(part) or as_scatter(part) for part in phases(kernel)[0]):
        return kernel
    fused = fuse_leading(kernel, depth)
    fits = shared_bytes(fused) <= gpu.static_shared_bytes
    return fused if fits or _dealt(*_in_order(fused), gpu) is not None else kernel


def _in_order(kernel: Kernel) -> tuple[Kernel, list[Loop]]:
    """The kernel with as many independent loops outermost as there are, and those."""
    kernel = collapse_all(without_unit_axes(with_registers(kernel)))
    kernel = hoist_independent(collapse_alike(kernel))
    return kernel, independent_loops(kernel)


def _dealt(kernel: Kernel, loops: list[Loop], gpu: Gpu) -> Dealt | None:
    """How the rows that a kernel reduces, if it does that, are dealt to lanes."""
    rows = as_rows(kernel, loops)
    return None if rows is None else deal(rows, gpu)


def holds_rows(kernel: Kernel, gpu: Gpu) -> bool:
    """Whether a naive kernel of several nests needs no memory for what it computes on the way: it
    has rows that registers hold, or that are cheap to compute again."""
    together = _together(tidy(_serial(kernel)), gpu)
    return _dealt(*_in_order(lift_guards(together)), gpu) is not None


def _contraction(kernel: Kernel) -> Contraction | None:
    kernel = with_registers(lift_guards(kernel))
    found = as_contraction(collapse_all(kernel))
    return found or as_contraction(collapse_all(by_groups(kernel)))


def is_as_fast(kernel: Kernel, alone: Kernel) -> bool | None:
    """Whether a naive kernel multiplies as fast as one that does the product alone, for which what
    is read would have to be written once more: as many of its operands are copied in runs of
    sixteen bytes, or it has so few rows that memory is the limit. None where that is no product."""
    own, found = _trial(alone), _trial(kernel)
    if own is None or found is None:
        return None if own is None else False
    few = found.left.extent <= FEW_ROWS
    return few or _slow_operands(found) <= _slow_operands(own)


def _trial(kernel: Kernel) -> Contraction | None:
    """The product that a naive kernel will be."""
    params = tuple(replace(param, alignment=WIDEST) for param in kernel.params)
    return _contraction(tidy(_serial(replace(kernel, params=params))))


def _slow_operands(contraction: Contraction) -> int:
    """How many operands are computed, or copied element by element: wide ones are turned on their
    way into tiles where neighbours in memory are terms."""
    is_turned = narrow_type(contraction) is None
    return sum(
        narrowed(operand).plain is None
        or contraction.is_scattered(operand)
        or (is_turned and contraction.runs_along_terms(operand))
        for operand in (contraction.left, contraction.right)
    )


def _is_of_vector(contraction: Contraction) -> bool:
    """Whether it is a matrix times one vector: none of it is read twice, so that tiles would gain
    nothing."""
    return not contraction.left.loops


def _launches(kernel: Kernel, gpu: Gpu) -> tuple[tuple[Kernel, ...], tuple[Buffer, ...]]:
    """The launches of one phase."""
    contraction = _contraction(kernel)
    if contraction is None or _is_of_vector(contraction):
        return _bound(kernel, gpu)
    tiled = schedule_product(contraction, gpu)
    before, after = (
        tuple(made for part in parts for made in _bound(part, gpu)[0])
        for parts in (tiled.before, tiled.after)
    )
    return (*before, tiled.kernel, *after), tiled.buffers


def _bound(kernel: Kernel, gpu: Gpu) -> tuple[tuple[Kernel, ...], tuple[Buffer, ...]]:
    """A launch: the loops of one phase given to blocks and threads."""
    scatter = as_scatter(kernel)
    if scatter is not None:
        return (bind_scatter(scatter, gpu),), ()
    kernel, loops = _in_order(lift_guards(kernel))
    running = as_running(kernel, loops)
    if running is not None and (running.is_contiguous or are_few(loops, gpu)):
        return (bind_running(running, gpu),), ()
    turned = as_transposed(kernel, loops)
    if turned is not None:
        wide = bind_wide_transposed(kernel, turned, gpu.block_threads)
        return (wide or bind_transposed(kernel, turned, gpu.block_threads),), ()
    windows = as_windows(kernel, loops)
    if windows is not None:
        return (bind_grid(*by_windows(windows, gpu), gpu),), ()
    dealt = _dealt(kernel, loops, gpu)
    if dealt is not None:
        pieces = in_pieces(dealt.rows, gpu)
        if pieces is not None:
            return _each_bound(*phases(pieces, mixed=True), gpu)
        return (bind_rows(dealt.rows, dealt.share, dealt.held, gpu),), ()
    columns = as_columns(kernel, loops, gpu)
    if columns is not None:
        pieces, rest, workspaces = bind_columns(columns, gpu)
        return (pieces, bind_grid(rest, independent_loops(rest), gpu)), workspaces
    shared = any(buffer.space is Space.SHARED for buffer in kernel.locals)
    if loops and not shared and not prefers_blocks(kernel, loops, gpu):
        return (bind_grid(kernel, loops, gpu),), ()
    inner = by_inner_sums(kernel, loops)
    if inner is not None:
        return _each_bound(*phases(inner, mixed=True), gpu)
    bound, workspaces = spilled(bind_block(kernel, loops, gpu.block_threads), gpu)
    return (bound,), workspaces


def _each_bound(
    parts: tuple[Kernel, ...], workspaces: tuple[Buffer, ...], gpu: Gpu
) -> tuple[tuple[Kernel, ...], tuple[Buffer, ...]]:
    """The launches of several phases."""
    launches: list[Kernel] = []
    for part in parts:
        made, own = _bound(part, gpu)
        launches.extend(made)
        workspaces = (*workspaces, *own)
    return tuple(launches), workspaces
