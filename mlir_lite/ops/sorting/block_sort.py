"""Sorting rows by the threads of a block: runs of two, four, eight elements and so on are merged,
where each place of the merged run finds the element that comes there.

    parallel row: {for pass: parallel k: {search both runs;  next[k] = this[place]};  ..}

Where few elements of a long row are wanted, a piece of it at a time is sorted with the best so far.
"""

from __future__ import annotations

from ...expr import INDEX, Expr, Var, all_of, apply, index, select
from ...tile.nodes import Block, If, Kernel
from ..kernels.block_steps import BlockSteps, held, put
from .sort_order import Entries, Rows

PIECE = 1024  # elements sorted at once: they fit into the memory of a block


def block_merge_kernel(name: str, rows: Rows, *, piece: int = PIECE) -> Kernel:
    """The kernel that writes the places of the first elements of each row; of rows longer than a
    piece, and than twice as many elements as are wanted, a piece at a time."""
    steps = BlockSteps(rows.key)
    size = max(piece, 2 * rows.count)
    body = _sorted(rows, steps) if rows.length <= size else _chosen(rows, steps, size)
    return rows.kernel(name, body, steps)


def _sorted(rows: Rows, steps: BlockSteps) -> Block:
    """Sort all elements."""
    entries = Entries.of(steps, rows.length)
    return (
        steps.parallel(0, rows.length, lambda i: entries.put(0, i, rows.read(i), i)),
        *_merged(rows, entries, index(rows.length)),
        steps.parallel(0, rows.count, lambda k: (rows.write(k, entries.place(0, k)),)),
    )


def _chosen(rows: Rows, steps: BlockSteps, size: int) -> Block:
    """Sort `size` elements at a time."""
    entries = Entries.of(steps, size)
    fresh = size - rows.count
    pieces = -(-(rows.length - rows.count) // fresh)

    def piece(number: Var) -> Block:
        let_start, start = steps.named(number * fresh)
        let_count, count = steps.named(apply("min", index(size), rows.length - start))

        def element(i: Var) -> Block:
            is_new = all_of(i < count, number.eq(0) | (i >= rows.count))
            return (If(is_new, entries.put(0, i, rows.read(start + i), start + i)),)

        return (
            let_start,
            let_count,
            steps.parallel(0, size, element),
            *_merged(rows, entries, count),
        )

    return (
        steps.steps(0, pieces, piece),
        steps.parallel(0, rows.count, lambda k: (rows.write(k, entries.place(0, k)),)),
    )


def _merged(rows: Rows, entries: Entries, count: Expr) -> Block:
    """Sort the first `count` entries of the first half."""
    steps = entries.steps
    def moved(half: int, width: Expr, k: Var) -> Block:
        """Entry `k` after a pass: how many of those before it are from the left run is searched
        (Green, McColl and Bader, "GPU Merge Path", 2012)."""
        low, high = steps.register(dtype=INDEX), steps.register(dtype=INDEX)
        let_start, start = steps.named(apply("and", k, -(width * 2)))
        let_middle, middle = steps.named(apply("min", start + width, count))
        let_stop, stop = steps.named(apply("min", start + width * 2, count))
        let_before, before = steps.named(k - start)

        def halve(_: Var) -> Block:
            let_mine, mine = steps.named((held(low) + held(high)) // 2)
            other = entries.key(half, middle + before - 1 - mine)
            is_enough = rows.first(other, entries.key(half, start + mine))
            narrowed = If(is_enough, (put(high)(mine),), (put(low)(mine + 1),))
            return (If(held(low) < held(high), (let_mine, narrowed)),)

        let_left, left = steps.named(start + held(low))
        let_right, right = steps.named(middle + before - held(low))
        last = index(entries.size - 1)
        let_own, own = steps.named(entries.key(half, apply("min", left, last)))
        let_other, other = steps.named(entries.key(half, apply("min", right, last)))
        is_left = (right >= stop) | all_of(left < middle, apply("not", rows.first(other, own)))
        let_turn, turn = steps.named(is_left)
        place = entries.place(half, apply("min", select(turn, left, right), last))
        return (
            let_start,
            let_middle,
            let_stop,
            let_before,
            put(low)(apply("max", index(0), before - (stop - middle))),
            put(high)(apply("min", before, middle - start)),
            steps.loop(0, entries.size.bit_length(), halve),
            let_left,
            let_right,
            let_own,
            let_other,
            let_turn,
            *entries.put(1 - half, k, select(turn, own, other), place),
        )

    def merge(half: int, width: Expr) -> Block:
        made = steps.parallel(0, entries.size, lambda k: (If(k < count, moved(half, width, k)),))
        return (made,)

    return entries.merged(0, 1, merge)
