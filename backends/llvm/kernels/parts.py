"""What is decided of a kernel before it is emitted: its stages, and where its locals lie.

A parallel loop is a stage; what stands between two of them is one that runs once, on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ....expr import INDEX, Const, Var
from ....expr.simplify import linear_sum
from ....memory import ALIGNMENT
from ....sizes import round_up
from ....tile.nodes import Block, Buffer, Kernel, Kind, Loop, Space, Stmt
from .accesses import Site, access_sites
from .calls import Callees
from .registers import unit_lanes

STACK_BYTES = 64 << 10  # of locals in one function; what is larger lies in scratch memory


@dataclass(frozen=True)
class Part:
    """A stage before it is emitted; `start` is where a parallel axis begins."""

    body: Block
    sites: tuple[Site, ...]
    loop: Loop | None = None
    start: int = 0
    extent: int = 1

    @property
    def buffers(self) -> frozenset[str]:
        """The buffers that it reads or writes."""
        return frozenset(site.buffer for site in self.sites)


@dataclass(frozen=True)
class Places:
    """Where SHARED locals live: offsets in common and thread memory; the others on the stack."""

    common: Mapping[str, int]
    thread: Mapping[str, int]
    common_bytes: int
    thread_bytes: int


def parts_of(body: Block, callees: Callees) -> Iterator[Part]:
    """Parallel loops, and what stands between them."""

    def sites(block: Block) -> tuple[Site, ...]:
        return tuple(access_sites(block, callees))

    serial: list[Stmt] = []
    for stmt in body:
        match stmt:
            case Loop(kind=Kind.PARALLEL, start=Const(value=start), stop=Const(value=stop)) if (
                stop > start + 1
            ):
                if serial:
                    yield Part(tuple(serial), sites(tuple(serial)))
                    serial = []
                extent = int(stop) - int(start)
                yield Part(stmt.body, sites(stmt.body), stmt, int(start), extent)
            case _:
                serial.append(stmt)
    if serial:
        yield Part(tuple(serial), sites(tuple(serial)))


def places_of(kernel: Kernel, parts: tuple[Part, ...]) -> Places:
    """Common memory for locals of several stages, thread memory for what the stack cannot hold."""
    using = [part.buffers for part in parts]
    common: dict[str, int] = {}
    thread: dict[str, int] = {}
    common_bytes = thread_bytes = stack_bytes = 0
    for local in sorted(kernel.locals, key=lambda local: (local_bytes(local), local.name)):
        if local.space is not Space.SHARED:
            continue
        if sum(local.name in used for used in using) > 1:
            common[local.name] = common_bytes
            common_bytes += local_bytes(local)
        elif stack_bytes + local_bytes(local) > STACK_BYTES:
            thread[local.name] = thread_bytes
            thread_bytes += local_bytes(local)
        else:
            stack_bytes += local_bytes(local)
    return Places(common, thread, common_bytes, thread_bytes)


def local_bytes(local: Buffer) -> int:
    """The size of a buffer, rounded up to whole cache lines."""
    return round_up(local.elements * local.dtype.bytes, ALIGNMENT)


def lanes_of_units(kernel: Kernel, part: Part) -> dict[str, int]:
    """How many lanes each register buffer is kept in (see `emit_registers`)."""
    units: dict[str, int] = {}
    buffers = kernel.buffers
    for site in part.sites:
        buffer = buffers[site.buffer]
        if buffer.space is not Space.REGISTER or site.vector is None:
            continue
        axis = Var(INDEX, site.vector.name)
        memory = buffer.layout.apply(site.indices) if buffer.layout else site.indices
        terms = linear_sum(zip(memory, buffer.strides, strict=True))
        if terms.pop(axis, 0) != 1:
            continue
        first = terms.pop(None, 0) + site.vector.start
        lanes = unit_lanes(site.vector.lanes, (first, *terms.values()))
        units[buffer.name] = unit_lanes(lanes, (units.get(buffer.name, lanes),))
    return {local.name: units.get(local.name, 1) for local in kernel.locals}
