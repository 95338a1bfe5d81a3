"""What goes on while the threads of a kernel do: copies by threads, copies of boxes by the card's
engine, products of warpgroups. How it begins and how its end is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import TypeAlias

from ....errors import UnsupportedError, check
from ....tile.instructions.barriers import ARRIVE
from ....tile.instructions.bulk import BULK
from ....tile.instructions.table import INSTRUCTIONS
from ....tile.nodes import Async, Call, Kernel, Wait, Window
from ....tile.traverse import walk

PRODUCT = "wgmma_"  # what the names of products of warpgroups begin with


class Work(Enum):
    """What is in an Async."""

    COPIES = "copies"
    BOXES = "boxes"
    PRODUCTS = "products"


@dataclass(frozen=True)
class Group:
    """What is in the Asyncs of a group, and the sums that its products add to."""

    work: Work
    sums: tuple[str, ...] = ()


Groups: TypeAlias = Mapping[str, Group]


def work_of(stmt: Async) -> Work:
    """By the instructions in it."""
    called = [inner.callee for inner in walk(stmt.body) if isinstance(inner, Call)]
    if any(name.startswith(BULK) for name in called):
        return Work.BOXES
    return Work.PRODUCTS if any(name.startswith(PRODUCT) for name in called) else Work.COPIES


def groups_of(kernel: Kernel) -> Groups:
    """What each group of a kernel is. `UnsupportedError` for one of several kinds."""
    groups: dict[str, Group] = {}
    for stmt in walk(kernel.body):
        if isinstance(stmt, Async):
            work, sums = work_of(stmt), tuple(dict.fromkeys(_sums(stmt)))
            group = groups.setdefault(stmt.group, Group(work, sums))
            check(group.work is work, f"'{stmt.group}' is of two kinds", UnsupportedError)
            groups[stmt.group] = Group(work, tuple(dict.fromkeys((*group.sums, *sums))))
    return groups


def _sums(stmt: Async) -> Iterator[str]:
    """The buffers that products are added to."""
    for inner in walk(stmt.body):
        if isinstance(inner, Call) and inner.callee.startswith(PRODUCT):
            yield inner.windows[0].buffer


def write_begun(work: Work, body: Iterator[str]) -> Iterator[str]:
    """The statements of copies or products, and that they are a group."""
    if work is Work.PRODUCTS:
        yield "wgmma_fence();"
    yield from body
    yield "wgmma_commit();" if work is Work.PRODUCTS else "cp_async_commit();"


def write_wait(
    stmt: Wait, groups: Groups, begun: Sequence[Async], names: Mapping[str, str]
) -> Iterator[str]:
    """The statements that wait for a group; sums that are whole then may be read from there on: all
    of them, or those of what has `begun` in the same block, but for the last ones."""
    group = groups.get(stmt.group, Group(Work.COPIES))
    if group.work is not Work.PRODUCTS:
        yield f"cp_async_wait<{stmt.pending}>();"
        return
    yield f"wgmma_wait<{stmt.pending}>();"
    whole = group.sums
    if stmt.pending:
        own = [tuple(_sums(entry)) for entry in begun if entry.group == stmt.group]
        before, after = own[: -stmt.pending], {*chain(*own[-stmt.pending :])}
        whole = tuple(sums for sums in dict.fromkeys(chain(*before)) if sums not in after)
    for sums in whole:
        yield f"wgmma_result({names[sums]});"


def boxes_of(stmt: Async) -> tuple[tuple[Call, ...], Window]:
    """The copies of boxes in an Async, and the barrier at which they arrive in the end."""
    *copies, last = [inner for inner in stmt.body if isinstance(inner, Call)]
    whole = len(copies) + 1 == len(stmt.body) and last.callee == ARRIVE
    boxes = all(copy.callee.startswith(BULK) for copy in copies)
    check(whole and boxes, f"'{stmt.group}' is no copies and an arrival", UnsupportedError)
    return tuple(copies), last.windows[0]


def box_bytes(copies: Sequence[Call]) -> int:
    """What copies of boxes bring."""
    boxes = [INSTRUCTIONS[copy.callee].params[0] for copy in copies]
    return sum(box.elements * box.dtype.bytes for box in boxes)
