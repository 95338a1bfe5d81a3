"""Sorting rows by merging, for a processor: runs of a few elements, of twice as many and so on.

    parallel row: {for turn: for k: {take the first of two runs' next elements};  out[..] = ..}

Where few elements of a long row are wanted, those that come before the last of the best so far are
collected; whenever they are many, they are sorted and all but the best are dropped.
"""

from __future__ import annotations

from ...expr import INDEX, Expr, Var, all_of, apply, cast, const, index, select
from ...tile.nodes import Block, If, Kernel
from ..kernels.block_steps import BlockSteps, held, put
from .sort_order import Entries, Rows

_LEAST = 64  # elements that are sorted rather than chosen from
_RUNS = (4, 8)  # elements of a run that each count those before them: faster than merging


def merge_kernel(name: str, rows: Rows) -> Kernel:
    """The kernel that writes the places of the first elements of each row."""
    steps = BlockSteps(rows.key)
    size = max(_LEAST, 2 * rows.count)
    body = _sorted(rows, steps) if rows.length <= size else _chosen(rows, steps, size)
    return rows.kernel(name, body, steps)


def _sorted(rows: Rows, steps: BlockSteps) -> Block:
    """Sort all elements."""
    entries = Entries.of(steps, rows.length)
    return (
        steps.loop(0, rows.length, lambda i: entries.put(0, i, rows.read(i), i)),
        *_merged(rows, entries, index(rows.length)),
        steps.loop(0, rows.count, lambda k: (rows.write(k, entries.place(1, k)),)),
    )


def _chosen(rows: Rows, steps: BlockSteps, size: int) -> Block:
    """Keep up to `size` elements that may be wanted."""
    entries = Entries.of(steps, size)
    filled, last = steps.register(dtype=INDEX), steps.register(dtype=rows.key)
    # 1 once there are `rows.count` elements, of which one is the last.
    full = steps.register(dtype=INDEX)

    def element(i: Var) -> Block:
        let_key, key = steps.named(rows.read(i))
        is_wanted = held(full).eq(0) | rows.first(key, held(last))
        kept = (*entries.put(0, held(filled), key, i), put(filled)(held(filled) + 1))
        cut: Block = (
            *_merged(rows, entries, held(filled)),
            steps.loop(0, rows.count, lambda k: entries.copied(1, k)),
            put(filled)(index(rows.count)),
            put(full)(index(1)),
            put(last)(entries.key(0, index(rows.count - 1))),
        )
        is_time = held(filled).eq(size) | i.eq(rows.length - 1)
        return let_key, If(is_wanted, kept), If(is_time, cut)

    return (
        put(filled)(index(0)),
        put(full)(index(0)),
        put(last)(const(0, rows.key)),
        steps.steps(0, rows.length, element),
        steps.loop(0, rows.count, lambda k: (rows.write(k, entries.place(0, k)),)),
    )


def _merged(rows: Rows, entries: Entries, count: Expr) -> Block:
    """Sort the first `count` entries of the first half into the second."""
    steps = entries.steps
    left = steps.register(dtype=INDEX)
    # Passes are done in pairs: of the shorter runs where that is an even number of passes.
    short, long = _RUNS
    runs = -(-entries.size // short)
    run = long if max(0, runs - 1).bit_length() % 2 else short

    def ranked(i: Var) -> Block:
        """Put an entry where it comes in its run."""
        start = i // run * run
        let_own, own = steps.named(entries.key(0, i))
        place: Expr = start
        for other in range(run):
            there = start + other
            key = entries.key(0, apply("min", there, count - 1))
            first = select(there < i, apply("not", rows.first(own, key)), rows.first(key, own))
            place = place + cast(all_of(there < count, first), INDEX)
        let_place, place = steps.named(place)
        return let_own, let_place, *entries.put(1, place, own, entries.place(0, i))

    def moved(half: int, width: Expr, k: Var) -> Block:
        """Entry `k` after a pass: the first of what is left of two runs."""
        let_start, start = steps.named(apply("and", k, -(width * 2)))
        let_middle, middle = steps.named(start + width)
        let_mine, mine = steps.named(held(left))
        let_other, other = steps.named(middle + (k - mine))  # `k - start` are taken from both
        is_left = all_of(mine < middle, mine < count)
        is_right = all_of(other < middle + width, other < count)
        let_key, key = steps.named(entries.key(half, _inside(mine, entries)))
        let_next, following = steps.named(entries.key(half, _inside(other, entries)))
        let_turn, turn = steps.named(
            all_of(is_right, apply("not", is_left) | rows.first(following, key))
        )
        # Arithmetic instead of a branch, which nobody could predict.
        let_step, step = steps.named(cast(turn, INDEX))
        place = entries.place(half, _inside(mine + (other - mine) * step, entries))
        return (
            let_start,
            let_middle,
            If(k.eq(start), (put(left)(k),)),
            let_mine,
            let_other,
            let_key,
            let_next,
            let_turn,
            let_step,
            *entries.put(1 - half, k, select(turn, following, key), place),
            put(left)(mine + 1 - step),
        )

    def merge(half: int, width: Expr) -> Block:
        return (
            steps.steps(0, entries.size, lambda k: (If(k < count, moved(half, width, k)),)),
        )

    placed = steps.steps(0, entries.size, lambda i: (If(i < count, ranked(i)),))
    return placed, *entries.merged(1, run, merge)


def _inside(place: Expr, entries: Entries) -> Expr:
    """A place that there is: the elements of a run may be used up."""
    return apply("min", place, index(entries.size - 1))
