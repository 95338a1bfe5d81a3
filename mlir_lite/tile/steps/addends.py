"""A schedule step that begins a sum with what is added to it at the end, such as a bias.

    acc = 0;  for k: acc += a[m, k] * b[k, n];  out[m, n] = f(acc + c[n])
      ->  acc = c[n];  for k: acc += a[m, k] * b[k, n];  out[m, n] = f(acc)
"""

from __future__ import annotations

from ...expr import Apply, Const, Expr, Load, apply, rewrite_expr, vars_of, walk_expr
from ..nodes import Block, Kernel, Loop, Store
from ..traverse import map_blocks


def start_with_addend(kernel: Kernel, body: Block, axis: str) -> tuple[Kernel, Block]:
    """Change the statements around a reduction, the `body` of its nest, where its sum is only read
    with the same elements added, or taken away, that depend on `axis` alone: a register tile has
    them once for all its rows, and an operation less for each of its elements. The kernel, and the
    new statements."""
    changed = _changed(body, axis)
    if changed is None:
        return kernel, body

    def visit(block: Block) -> Block:
        if block == body:
            return changed
        return tuple(map_blocks(stmt, visit) for stmt in block)

    return kernel.with_body(visit(kernel.body)), changed


def _changed(body: Block, axis: str) -> Block | None:
    """The statements with the addend moved; None where there is none."""
    match body:
        case (Store(target=start, value=Const(value=0)) as first, Loop() as loop, Store() as last):
            pass
        case _:
            return None
    sums = [node for node in walk_expr(last.value) if _reads(node, start.buffer)]
    found = {
        node
        for node in walk_expr(last.value)
        if isinstance(node, Apply) and _addend(node, start.buffer, axis) is not None
    }
    if len(found) != 1:
        return None
    (total,) = found
    uses = sum(node == total for node in walk_expr(last.value))
    addend = _addend(total, start.buffer, axis)
    if uses != len(sums) or addend is None:
        return None
    value = rewrite_expr(last.value, lambda node: sums[0] if node == total else None)
    begun = Store(first.target, addend)
    return begun, loop, Store(last.target, value, last.nontemporal)


def _addend(node: Apply, total: str, axis: str) -> Expr | None:
    """What a sum or difference adds to a total, if it reads that and depends on `axis` alone."""
    match node:
        case Apply(function="add", args=(left, right)) if _reads(right, total):
            left, right = right, left
        case Apply(function="add" | "sub", args=(left, right)) if _reads(left, total):
            pass
        case _:
            return None
    if not isinstance(right, Load) or right.buffer == total or vars_of(right) != {axis}:
        return None
    return apply("neg", right) if node.function == "sub" else right


def _reads(node: Expr, buffer: str) -> bool:
    return isinstance(node, Load) and node.buffer == buffer
