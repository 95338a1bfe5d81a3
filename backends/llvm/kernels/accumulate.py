"""Accumulations: values joined into the states that registers or memory hold.

    y[i] += x[i] * w[i]    ->    one fused multiply-add where the combiner and the type have one
    s[] += x[i] over lanes ->    all lanes joined in a fixed tree, then with the state
"""

from __future__ import annotations

from ....expr import Apply, Load
from ....tile.nodes import Accumulate
from ..text.scopes import Value
from .expr import Evaluator
from .frame import Frame
from .reduce import identities, join_states, reduce_lanes


def emit_accumulate(stmt: Accumulate, evaluator: Evaluator) -> None:
    """Join the values of a statement into its targets."""
    frame, memory = evaluator.frame, evaluator.memory
    steps = [memory.addresses.access(t.buffer, t.indices).step for t in stmt.targets]
    if None in steps:
        _by_lane(stmt, evaluator)
        return
    old = _states(stmt, evaluator)
    moving = frame.vector is None or 0 not in steps
    fused = _fused(stmt, old[0], evaluator) if moving else None
    if fused is not None:
        memory.store(stmt.targets[0], fused)
        return
    values = [evaluator.evaluate(value) for value in stmt.values]
    if not moving:
        values = _over_lanes(frame, stmt.combiner, values)
    _join(stmt, values, old, evaluator)


def _by_lane(stmt: Accumulate, evaluator: Evaluator) -> None:
    """Lanes one after the other: two may mean the same element."""
    frame = evaluator.frame
    assert frame.vector is not None
    for lane in range(frame.vector.lanes):
        with frame.at_lane(lane):
            values = [evaluator.evaluate(value) for value in stmt.values]
            _join(stmt, values, _states(stmt, evaluator), evaluator)


def _states(stmt: Accumulate, evaluator: Evaluator) -> list[Value]:
    """The states at the targets."""
    frame = evaluator.frame
    return [
        evaluator.evaluate(Load(frame.buffer_of(to.buffer).dtype, to.buffer, to.indices))
        for to in stmt.targets
    ]


def _join(
    stmt: Accumulate, values: list[Value], old: list[Value], evaluator: Evaluator
) -> None:
    pairs = [evaluator.together(a, b) for a, b in zip(values, old, strict=True)]
    new, states = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    joined = join_states(evaluator.frame.scalars, stmt.combiner, new, states)
    for target, value in zip(stmt.targets, joined, strict=True):
        evaluator.memory.store(target, value)


def _fused(stmt: Accumulate, old: Value, evaluator: Evaluator) -> Value | None:
    """old + a * b in one instruction, for a sum of products of f64 or f32."""
    match stmt.values:
        case (Apply(function="mul", dtype=dtype, args=(a, b)),) if (
            stmt.combiner == "sum" and dtype.is_float and dtype.bits >= 32
        ):
            factors = evaluator.evaluate(a), evaluator.evaluate(b)
            return evaluator.frame.scalars.multiply_add(*evaluator.together(*factors, old))
    return None


def _over_lanes(frame: Frame, combiner: str, values: list[Value]) -> list[Value]:
    """All lanes joined in a fixed tree; lanes that do not run count as the identity."""
    assert frame.vector is not None
    lanes = frame.vector.lanes
    wide = [frame.scalars.spread(value, lanes) for value in values]
    if frame.guard is not None:
        guard = frame.scalars.spread(frame.guard, lanes)
        neutral = identities(combiner, wide)
        wide = [
            frame.scalars.select(guard, value, other)
            for value, other in zip(wide, neutral, strict=True)
        ]
    return reduce_lanes(frame.scalars, combiner, wide)
