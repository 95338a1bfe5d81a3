"""Bodies of operations as expressions: recorded once on named axes, so that passes can ask what a
body reads, and put it where its value is used.

    add: operands "0" and "1", axes d0, d1   ->   0[d0, d1] + 1[d0, d1]
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ...errors import PassError, check
from ...expr import FUNCTIONS, INDEX, Apply, Const, Expr, Load, Reduce, Var, walk_expr
from ...expr.traverse import children
from ...ir import Op, Value
from ...types import TensorType


@dataclass(frozen=True)
class Recorded:
    """An operand inside a body: reading it leaves a `Load` of a stand-in buffer."""

    name: str
    type: TensorType

    def __getitem__(self, at: Expr | tuple[Expr, ...]) -> Expr:
        return Load(self.type.dtype, self.name, at if isinstance(at, tuple) else (at,))


@dataclass(frozen=True)
class Body:
    """An operation's body over the axes `at`: one expression per result, operands as loads of
    "0", "1", … (their position)."""

    at: tuple[Var, ...]
    results: tuple[Expr, ...]


def record_body(op: Op, results: tuple[TensorType, ...]) -> Body:
    """Run `op.body` once on axes `d0, d1, …`."""
    stand_ins = {
        value: Recorded(str(position), value.type)
        for position, value in enumerate(dict.fromkeys(op.operands))
    }
    at = tuple(Var(INDEX, f"d{axis}") for axis in range(results[0].rank))
    arguments = op.arguments(stand_ins)
    made = op.body(at, *arguments)
    exprs = made if isinstance(made, tuple) else (made,)
    for expr, type_ in zip(exprs, results, strict=True):
        check(
            expr.dtype == type_.dtype,
            f"the body of '{op.name}' gives {expr.dtype}, its type rule {type_.dtype}",
            PassError,
        )
    return Body(at, exprs)


def cost_of(expr: Expr) -> int:
    """Additions that an expression is worth."""
    return sum(
        FUNCTIONS[node.function].cost if isinstance(node, Apply) else 0
        for node in walk_expr(expr)
        if node.dtype != INDEX
    )


@dataclass(frozen=True)
class Read:
    """A place where a body reads an operand: how often in all, and whether at the body's index."""

    count: int
    at_own_index: bool
    reduced: bool = False  # inside a reduction


def reads_of(body: Body, op: Op, value: Value, domain: int) -> list[Read]:
    """How a body, computed `domain` times, reads an operand."""
    position = str(list(dict.fromkeys(op.operands)).index(value))
    found: list[Read] = []
    for expr in body.results:
        found += _reads_in(expr, position, body.at, domain, value.type.static_shape)
    return found


def _reads_in(
    expr: Expr, operand: str, at: tuple[Var, ...], domain: int, shape: tuple[int, ...]
) -> list[Read]:
    match expr:
        case Reduce(axes=axes, values=values):
            inner = domain * prod(extent for _, extent in axes)
            return [
                Read(read.count, False, True)
                for value in values
                for read in _reads_in(value, operand, at, inner, shape)
            ]
        case Load(buffer=name, indices=indices) if name == operand:
            own = all(
                position == axis or (extent == 1 and isinstance(position, Const))
                for position, axis, extent in zip(indices, at, shape, strict=False)
            ) and len(indices) == len(at)
            return [Read(domain, own)]
    return [
        read
        for child in children(expr)
        for read in _reads_in(child, operand, at, domain, shape)
    ]
