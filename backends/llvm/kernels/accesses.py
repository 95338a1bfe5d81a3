"""What a block of Tile IR touches: looked up before it is emitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ....expr import Const, Expr
from ....tile.analyses.scopes import targets_of
from ....tile.nodes import Block, Call, Kind, Loop, Ref
from ....tile.traverse import blocks_of, loads_in, walk
from .calls import Callees
from .frame import VectorAxis


@dataclass(frozen=True)
class Site:
    """One access: the buffer, the index, and the vector loop it stands in."""

    buffer: str
    indices: tuple[Expr, ...]
    vector: VectorAxis | None


def access_sites(
    block: Block, callees: Callees, vector: VectorAxis | None = None
) -> Iterator[Site]:
    """Every access in a block, those of the procs it calls included."""
    for stmt in block:
        for load in loads_in(stmt):
            yield Site(load.buffer, load.indices, vector)
        for target in targets_of(stmt):
            yield Site(target.buffer, target.indices, vector)
        inner = vector
        match stmt:
            case Loop(kind=Kind.VECTOR, start=Const(value=start), stop=Const(value=stop)):
                inner = VectorAxis(stmt.axis, int(start), int(stop) - int(start))
            case Call():
                callee = callees.find(stmt)
                windows = callees.windows(callee, stmt.windows)
                for site in access_sites(callee.body, callees, vector):
                    window = windows[site.buffer]
                    yield Site(window.buffer, window.move(site.indices), site.vector)
        for nested in blocks_of(stmt):
            yield from access_sites(nested, callees, inner)


def written_refs(block: Block, callees: Callees) -> Iterator[Ref]:
    """What a block writes; of a call, the start of each window that the callee writes."""
    for stmt in walk(block):
        yield from targets_of(stmt)
        if isinstance(stmt, Call):
            callee = callees.find(stmt)
            windows = callees.windows(callee, stmt.windows)
            for name in dict.fromkeys(ref.buffer for ref in written_refs(callee.body, callees)):
                yield Ref(windows[name].buffer, windows[name].offsets)
