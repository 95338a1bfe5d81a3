"""prune-loops: what loops and branches carry, take or give without need goes.

    %h, %c, %ys = scan [%h0, %c0], [%xs, %zs], [%w, %b] @step(..)

loses the results that nobody reads, the states and operands that only those needed, and operands
that stand there twice; a state that no step changes becomes an invariant, and constants move into
the regions, where other passes see them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ...ir import Builder, Constant, Function, Node, Op, Value
from ...ops.regions.control import Cond, ControlOp, Scan, WhileLoop
from ...ops.table import TABLE
from .dataflow import cut, reached


@dataclass(frozen=True)
class Pruned:
    """An operation with fewer results, and what each old one is now.

    That is the position of a new one, or an operand; None for those that nobody needs.
    """

    op: Op
    sources: tuple[int | Value | None, ...]


def prune_loops(fn: Function) -> Function:
    """Drop what loops and branches carry, take and give without need."""
    if not any(isinstance(node.op, ControlOp) for node in fn.nodes):
        return fn
    plans, needed = _plans(fn)
    builder = Builder(TABLE)
    values: dict[Value, Value] = {param: param for param in fn.params}
    with builder.active():
        for node in fn.nodes:
            if needed.isdisjoint(node.results):  # it may read what a loop before no longer gives
                continue
            plan = plans.get(node)
            if plan is None:
                new = builder.again(node, node.op.map_operands(values.__getitem__))
                values.update(zip(node.results, new, strict=True))
                continue
            with builder.at(node.location):
                made = builder.emit(plan.op.map_operands(values.__getitem__))
            for old, entry in zip(node.results, plan.sources, strict=True):
                if entry is not None:
                    values[old] = made[entry] if isinstance(entry, int) else values[entry]
    results = [values[result] for result in fn.results]
    return builder.remade(fn, results)


def _plans(fn: Function) -> tuple[dict[Node, Pruned], set[Value]]:
    """What becomes of each loop and branch that is needed, the last first, and all values that
    are needed then."""
    plans: dict[Node, Pruned] = {}
    needed = set(fn.results)
    for node in reversed(fn.nodes):
        wanted = [result in needed for result in node.results]
        if not any(wanted):
            continue
        plan = _pruned(node.op, wanted)
        if plan is None:
            needed.update(node.op.operands)
            continue
        plans[node] = plan
        needed.update(plan.op.operands)
        needed.update(entry for entry in plan.sources if isinstance(entry, Value))
    return plans, needed


def _pruned(op: Op, wanted: Sequence[bool]) -> Pruned | None:
    match op:
        case Scan():
            parts = _Parts(op.carries, op.inputs, op.invariants, (op.step,))
            found = _smaller(parts, wanted)
            if found is None:
                return None
            new, sources = found
            scan = Scan(
                new.carries, new.rows, new.shared, op.length, new.regions[0], op.reverse
            )
            return Pruned(scan, sources)
        case WhileLoop():
            parts = _Parts(op.carries, (), op.invariants, (op.step,), (op.condition,))
            found = _smaller(parts, wanted)
            if found is None or not found[0].carries:  # it does not end, which its limit tells
                return None
            new, sources = found
            loop = WhileLoop(new.carries, new.shared, new.tests[0], new.regions[0], op.limit)
            return Pruned(loop, sources)
        case Cond():
            found = _smaller(_Parts((), (), op.inputs, (op.then, op.otherwise)), wanted)
            if found is None:
                return None
            new, sources = found
            return Pruned(Cond(op.predicate, new.shared, *new.regions), sources)
    return None


@dataclass(frozen=True)
class _Parts:
    """Any loop or branch: the parameters of its regions are carries, rows and shared ones.

    The results are those of its `regions`; those of `tests` are always needed.
    """

    carries: tuple[Value, ...]
    rows: tuple[Value, ...]
    shared: tuple[Value, ...]
    regions: tuple[Function, ...]
    tests: tuple[Function, ...] = ()

    @property
    def operands(self) -> tuple[Value, ...]:
        return (*self.carries, *self.rows, *self.shared)

    def read(self, live: Collection[int]) -> set[int]:
        """The positions of the parameters that the results at these positions need."""
        found: set[int] = set()
        for fn in (*self.regions, *self.tests):
            ends = fn.results if fn in self.tests else [fn.results[at] for at in live]
            needed = reached(fn, ends)
            found.update(at for at, param in enumerate(fn.params) if param in needed)
        return found

    def still(self) -> list[int]:
        """The positions of the states that no step changes."""
        count = len(self.carries)
        return [
            at
            for at in range(count)
            if all(fn.results[at] is fn.params[at] for fn in self.regions)
        ]

    def live(self, wanted: Sequence[bool]) -> set[int]:
        """The positions of the results that are needed, by what follows or by further steps."""
        live = {at for at, needed in enumerate(wanted) if needed}
        while True:
            grown = live | {at for at in self.read(live) if at < len(self.carries)}
            if grown == live:
                return live
            live = grown


def _smaller(
    parts: _Parts, wanted: Sequence[bool]
) -> tuple[_Parts, tuple[int | Value | None, ...]] | None:
    """The parts that are needed, and what each result is now; None where all are."""
    count, rows = len(parts.carries), len(parts.rows)
    still, live = parts.still(), parts.live(wanted)
    read, operands = parts.read(live), parts.operands
    carried = [at for at in range(count) if at in live and at not in still]
    stacked = _outputs(parts, live)
    kept_rows = _firsts((at for at in range(count, count + rows) if at in read), operands)
    others = [*range(count + rows, len(operands)), *still]
    kept = _firsts(
        (at for at in others if at in read and not isinstance(operands[at].op, Constant)), operands
    )
    given = [*carried, *kept_rows.values(), *kept.values()]
    results = [*carried, *dict.fromkeys(stacked.values())]
    if len(given) == len(operands) and len(results) == len(wanted):
        return None

    def stand_in(fn: Function, at: int) -> Value:
        """What stands for a parameter that is left out: another one, or a constant."""
        first = (kept_rows if count <= at < count + rows else kept).get(operands[at])
        return operands[at] if first is None else fn.params[first]

    def smaller(fn: Function, ends: Sequence[Value]) -> Function:
        left_out = [at for at in read if at not in given]
        same = {fn.params[at]: stand_in(fn, at) for at in left_out}
        return cut(fn, [fn.params[at] for at in given], ends, same=same)

    new = _Parts(
        tuple(operands[at] for at in carried),
        tuple(kept_rows),
        tuple(kept),
        tuple(smaller(fn, [fn.results[at] for at in results]) for fn in parts.regions),
        tuple(smaller(fn, fn.results) for fn in parts.tests),
    )
    sources: list[int | Value | None] = []
    for at in range(len(wanted)):
        if at in still:
            sources.append(operands[at])
        elif at in live:
            sources.append(results.index(stacked.get(at, at)))
        else:
            sources.append(None)
    return new, tuple(sources)


def _outputs(parts: _Parts, live: Collection[int]) -> dict[int, int]:
    """For each result that is needed and no state the first that is the same."""
    first: dict[tuple[Value, ...], int] = {}
    return {
        at: first.setdefault(tuple(fn.results[at] for fn in parts.regions), at)
        for at in sorted(live)
        if at >= len(parts.carries)
    }


def _firsts(positions: Iterable[int], operands: Sequence[Value]) -> dict[Value, int]:
    """Operands with the first of these positions at which they stand."""
    first: dict[Value, int] = {}
    for at in positions:
        first.setdefault(operands[at], at)
    return first
