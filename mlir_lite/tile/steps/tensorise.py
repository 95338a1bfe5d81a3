"""The schedule step that puts an instruction in the place of the loops that it does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...expr import Apply, Cast, Expr, Load, affine, index, simplify
from ..instructions.table import Instruction
from ..nodes import Accumulate, Block, Call, Kernel, Kind, Loop, Stmt, Window
from ..traverse import map_blocks, substitute_block
from ..tree import extent_of, has_constant_limits, var

_COMMUTATIVE = frozenset({"add", "mul"})


def tensorise(kernel: Kernel, instruction: Instruction) -> Kernel:
    """Call an instruction wherever loops do what it does; a sum's terms may come in any order.

    vector l in 0..16 {unroll q in 0..2 {acc[m, l] += f32(a[m, 2 * k + q]) * f32(b[k, l, q])}}
      ->  call @vpdpbf16ps(acc[m, 0], a[m, 2 * k], b[k, 0, 0])
    """

    def visit(block: Block) -> Block:
        return tuple(one(stmt) for stmt in block)

    def one(stmt: Stmt) -> Stmt:
        call = _as_call(stmt, instruction) if isinstance(stmt, Loop) else None
        return call or map_blocks(stmt, visit)

    return kernel.with_body(visit(kernel.body))


def _as_call(loop: Loop, instruction: Instruction) -> Call | None:
    """The call that does what a nest of loops does."""
    (meaning,) = instruction.semantics.body
    for pattern in (meaning, _backwards(meaning)):
        match = _Match()
        if match.statement(pattern, loop):
            windows = tuple(match.windows[param.name] for param in instruction.params)
            return Call(instruction.name, windows)
    return None


def _backwards(stmt: Stmt) -> Stmt:
    """A sum's terms, which an unrolled loop counts, from the last to the first."""
    turned = map_blocks(stmt, lambda block: tuple(map(_backwards, block)))
    if not isinstance(turned, Loop) or turned.kind is not Kind.UNROLL:
        return turned
    last = turned.stop - 1 + turned.start - var(turned.axis)
    return replace(turned, body=substitute_block(turned.body, {turned.axis: last}))


@dataclass
class _Match:
    """What the axes and the buffers of a pattern stand for in the statements that match it."""

    axes: dict[str, Loop] = field(default_factory=dict)  # by the pattern's name
    windows: dict[str, Window] = field(default_factory=dict)

    def statement(self, pattern: Stmt, stmt: Stmt) -> bool:
        """Whether a statement does what the pattern does, and nothing else."""
        match pattern, stmt:
            case Loop(body=(inside,)), Loop(body=(found,)) if pattern.kind is stmt.kind:
                if not has_constant_limits(stmt) or extent_of(stmt) != extent_of(pattern):
                    return False
                self.axes[pattern.axis] = stmt
                return self.statement(inside, found)
            case Accumulate(), Accumulate() if pattern.combiner == stmt.combiner:
                pairs = (*zip(pattern.targets, stmt.targets, strict=True),)
                targets = all(
                    self.access(mine.buffer, mine.indices, ref.buffer, ref.indices)
                    for mine, ref in pairs
                )
                values = zip(pattern.values, stmt.values, strict=True)
                return targets and all(self.expression(*pair) for pair in values)
        return False

    def expression(self, pattern: Expr, expr: Expr) -> bool:
        if pattern.dtype != expr.dtype:
            return False
        match pattern, expr:
            case Load(), Load():
                return self.access(pattern.buffer, pattern.indices, expr.buffer, expr.indices)
            case Cast(value=inside), Cast(value=found):
                return self.expression(inside, found)
            case Apply(args=args), Apply(args=found) if pattern.function == expr.function:
                known = dict(self.windows)
                if all(map(self.expression, args, found)):
                    return True
                if pattern.function in _COMMUTATIVE:
                    self.windows = known
                    return all(map(self.expression, args, reversed(found)))
        return False

    def access(
        self, param: str, inner: tuple[Expr, ...], buffer: str, at: tuple[Expr, ...]
    ) -> bool:
        """Whether an access moves over the last dimensions of its buffer as the pattern's does
        over those of a parameter; then the window begins where all axes are at their start."""
        if len(inner) > len(at):
            return False
        offsets: list[Expr] = []
        leading: tuple[Expr, ...] = (index(0),) * (len(at) - len(inner))
        for wanted, part in zip((*leading, *inner), at, strict=True):
            for axis, loop in self.axes.items():
                moved, own = affine(part, loop.axis), affine(wanted, axis)
                if moved is None or own is None or moved[0] != own[0]:
                    return False
                part, wanted = moved[1] + loop.start * moved[0], own[1]
            offsets.append(simplify(part - wanted, {}))
        window = Window(buffer, tuple(offsets))
        return self.windows.setdefault(param, window) == window
