"""hoist: work that does not depend on a loop's state is done before the loop.

    %y = scan [%h], [%xs], [%w, %u] {length = 8} @step(%h: …, %x: tensor<4x3xf32>, %w: …, %u: …) {
      %0 = matmul %x, %w : tensor<4x5xf32>
      …

becomes one product for all steps, of which each takes a slice:

    %0 = reshape %xs {shape = [32, 3]} : tensor<32x3xf32>
    %1 = matmul %0, %w : tensor<32x5xf32>
    %2 = reshape %1 {shape = [8, 4, 5]} : tensor<8x4x5xf32>
    %y = scan [%h], [%2], [%u] {length = 8} @step(…
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ...ir import Function, Op, Value, current_builder, parameter, transform
from ...ops.base.broadcast import Broadcast
from ...ops.products.matmul import Matmul
from ...ops.regions.control import Scan, WhileLoop
from ...ops.shapes.index import Gather
from ...ops.table import TABLE
from .batching import can_batch, emit_for_all
from .dataflow import cut, depending
from .prune_loops import prune_loops


def hoist(fn: Function) -> Function:
    """Compute before a loop what is the same in all steps, and products of its inputs at once."""
    if not any(isinstance(node.op, (Scan, WhileLoop)) for node in fn.nodes):
        return fn

    def visit(op: Op) -> tuple[Value, ...] | None:
        match op:
            case Scan(length=int(length)) if length > 0:
                return _scan(op, length)
            case WhileLoop():
                return _while(op)
        return None

    return prune_loops(transform(fn, visit, TABLE))


def _scan(op: Scan, length: int) -> tuple[Value, ...] | None:
    count, step = len(op.carries), op.step
    slices = step.params[count : count + len(op.inputs)]
    invariants = step.params[count + len(op.inputs) :]
    moving = depending(step, step.params[:count])
    stacked = depending(step, slices) - moving
    fixed = _ends(step, _fixed(step, moving | stacked, invariants))
    rows = _ends(step, _rows(step, stacked, moving))
    if not fixed and not rows:
        return None
    outer = dict(zip(slices, op.inputs, strict=True))
    outer.update(zip(invariants, op.invariants, strict=True))
    emit_for_all(step, [*fixed, *rows], outer, stacked, length)
    params = [*step.params[:count], *slices, *rows, *invariants, *fixed]
    new = Scan(
        op.carries,
        (*op.inputs, *(outer[value] for value in rows)),
        (*op.invariants, *(outer[value] for value in fixed)),
        length,
        cut(step, params, step.results),
        op.reverse,
    )
    return current_builder().emit(new)


def _while(op: WhileLoop) -> tuple[Value, ...] | None:
    count = len(op.carries)
    found: list[tuple[Function, list[Value]]] = []
    before: list[Value] = []
    for region in (op.condition, op.step):
        moving = depending(region, region.params[:count])
        invariants = region.params[count:]
        ends = _ends(region, _fixed(region, moving, invariants, always=False))
        outer = dict(zip(invariants, op.invariants, strict=True))
        emit_for_all(region, ends, outer, (), 0)
        before += [outer[value] for value in ends]
        found.append((region, ends))
    if not before:
        return None
    (condition, tested), (step, stepped) = found
    new = WhileLoop(
        op.carries,
        (*op.invariants, *before),
        cut(condition, [*condition.params, *tested, *_unused(stepped)], condition.results),
        cut(step, [*step.params, *_unused(tested), *stepped], step.results),
        op.limit,
    )
    return current_builder().emit(new)


def _unused(values: Iterable[Value]) -> list[Value]:
    return [parameter(f"unused{at}", value.type) for at, value in enumerate(values)]


def _fixed(
    step: Function, changing: Collection[Value], invariants: Iterable[Value], *, always: bool = True
) -> set[Value]:
    """The values that are the same in all steps and made of invariants, to be computed once.

    What may be a fault of the data is left where it is if the loop may run no step (`always`).
    """
    made = depending(step, invariants) - set(changing)
    found: set[Value] = set()
    for node in step.nodes:
        known = all(x in found or x.node is None or x not in made for x in node.op.operands)
        if node.results[0] in made and known and (always or not type(node.op).has("fault")):
            found.update(node.results)
    return found


def _rows(step: Function, stacked: Collection[Value], moving: Collection[Value]) -> set[Value]:
    """Products of slices by invariants, and what follows from them alone."""
    possible = {param for param in step.params if param in stacked}
    found: set[Value] = set()
    for node in step.nodes:
        op, (result, *others) = node.op, node.results
        known = all(x in possible or x not in stacked for x in op.operands)
        if result not in stacked or others or not known or not can_batch(op, stacked):
            continue
        possible.add(result)
        if isinstance(op, (Matmul, Gather)) or any(x in found for x in op.operands):
            found.add(result)
    return found


def _ends(step: Function, moved: Collection[Value]) -> list[Value]:
    """Those of the values that what stays in the loop reads; none that is only repeated."""
    read: dict[Value, None] = {}
    for node in step.nodes:
        if node.results[0] not in moved:
            read.update(dict.fromkeys(node.op.operands))
    read.update(dict.fromkeys(step.results))
    found: dict[Value, None] = {}
    for value in read:
        while value in moved and isinstance(value.op, Broadcast):
            value = value.op.x
        if value in moved:
            found[value] = None
    return list(found)
