"""The schedule step that makes one loop of two: `for i: for j` over a whole matrix is one loop over
its elements, if everything is read and written in that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...expr import Const, Expr, Load, index, rewrite_expr, vars_of
from ..nodes import Accumulate, Block, Buffer, If, Kernel, Loop, Ref, Stmt, Store
from ..traverse import expressions_of, map_blocks, map_expressions, walk
from ..tree import accesses, base, extent_of, map_refs, tidy, var
from .loops import extent_limits


def collapse(
    kernel: Kernel, outer: str, inner: str, *, alone: bool = False
) -> Kernel | None:
    """Make one loop of two adjacent ones where every access takes them as one; None elsewhere.

    for i in 0..m: for j in 0..n: s[x[i, j]]   ->   for i in 0..m*n: s[x'[i]]   (x' is x flattened)

    If they are to be one `alone`, other loops may go on taking them apart: `x[k, l]` in these is
    `x'[k * n + l]`.
    """
    found = [
        loop
        for loop in walk(kernel.body)
        if isinstance(loop, Loop) and base(loop.axis) == outer
    ]
    if len(found) != 1 or len(found[0].body) != 1:
        return None
    first, second = found[0], found[0].body[0]
    if not isinstance(second, Loop) or base(second.axis) != inner:
        return None
    if extent_limits(first)[0] != 0 or extent_limits(second)[0] != 0:
        return None
    axes = {first.axis: second.axis}
    return _Merge(kernel, axes, extent_of(first), extent_of(second), alone=alone).apply()


def collapse_alike(kernel: Kernel) -> Kernel:
    """Make one loop of two adjacent ones of the same extents wherever they stand, where all of them
    take what they access as one.

    for i: for j: acc += x[i, j];  for k: for l: y[k, l] = x[k, l] - acc
      ->  for i: acc += x'[i];  for k: y'[k] = x'[k] - acc
    """
    pairs: dict[tuple[int, int], dict[str, str]] = {}
    for loop in walk(kernel.body):
        match loop:
            case Loop(axis=axis, body=(Loop() as inner,)) if (
                all(isinstance(one.stop, Const) and one.start == index(0) for one in (loop, inner))
            ):
                extents = extent_of(loop), extent_of(inner)
                pairs.setdefault(extents, {})[axis] = inner.axis
    for (count, width), axes in pairs.items():
        if axes.keys().isdisjoint(axes.values()):
            merged = _Merge(kernel, axes, count, width).apply()
            if merged is not None:
                return collapse_alike(merged)
    return kernel


class _Merge:
    """The work of `collapse`: which dimensions of which buffers merge."""

    def __init__(
        self,
        kernel: Kernel,
        axes: Mapping[str, str],
        count: int,
        width: int,
        *,
        alone: bool = False,
    ) -> None:
        self.kernel = kernel
        self.axes = axes  # of outer loops, with those of inner ones
        self.every = {*axes, *axes.values()}
        self.count, self.width = count, width
        self.alone = alone
        self.dims: dict[str, tuple[int, ...]] = {}  # buffer -> the two dimensions that merge

    def apply(self) -> Kernel | None:
        for name, indices, _ in accesses(self.kernel.body):
            places = self._place(self.kernel.buffers[name], indices)
            if places is None:
                return None
            if places or not self.alone:
                found = self.dims.setdefault(name, places)
                if found != places:
                    return None
        if any(self._elsewhere(stmt) for stmt in walk(self.kernel.body)):
            return None
        buffers = {name: self._merged(buffer) for name, buffer in self.kernel.buffers.items()}
        body = self._merged_loops(self.kernel.body)
        return tidy(
            replace(
                self.kernel,
                params=tuple(buffers[buffer.name] for buffer in self.kernel.params),
                locals=tuple(buffers[buffer.name] for buffer in self.kernel.locals),
                body=body,
            )
        )

    def _place(self, buffer: Buffer, indices: tuple[Expr, ...]) -> tuple[int, ...] | None:
        """Where `[.., a, b, ..]` stands in the indices: two neighbouring dimensions, or none of
        them; None where the axes occur in another way."""
        uses = tuple(
            position
            for position, part in enumerate(indices)
            if vars_of(part) & self.every
        )
        if not uses:
            return ()
        if buffer.layout is not None or len(uses) != 2 or uses[1] != uses[0] + 1:
            return None
        first, second = uses
        exact = (indices[first], indices[second]) in [
            (var(outer), var(inner)) for outer, inner in self.axes.items()
        ]
        full = buffer.shape[first] == self.count and buffer.shape[second] == self.width
        return uses if exact and full else None

    def _elsewhere(self, stmt: Stmt) -> bool:
        """Whether the axes are used outside of the indices of accesses."""
        def strip(node: Expr) -> Expr | None:
            return Load(node.dtype, node.buffer, ()) if isinstance(node, Load) else None

        direct: tuple[Expr, ...] = expressions_of(stmt)
        if isinstance(stmt, Store):
            direct = (stmt.value,)
        elif not isinstance(stmt, (Loop, If)):
            direct = stmt.values if isinstance(stmt, Accumulate) else direct
        return any(
            vars_of(rewrite_expr(expr, strip)) & self.every for expr in direct
        )

    def _merged(self, buffer: Buffer) -> Buffer:
        if not self.dims.get(buffer.name):
            return buffer
        first, second = self.dims[buffer.name]
        shape = (*buffer.shape[:first], self.count * self.width, *buffer.shape[second + 1 :])
        return replace(buffer, shape=shape)

    def _indices(self, name: str, indices: tuple[Expr, ...]) -> tuple[Expr, ...]:
        if not self.dims.get(name):
            return indices
        first, second = self.dims[name]
        row, column = indices[first], indices[second]
        merged = row if vars_of(row) & self.every else row * self.width + column
        return (*indices[:first], merged, *indices[second + 1 :])

    def _merged_loops(self, block: Block) -> Block:
        def expression(expr: Expr) -> Expr:
            def visit(node: Expr) -> Expr | None:
                if isinstance(node, Load):
                    return Load(node.dtype, node.buffer, self._indices(node.buffer, node.indices))
                return None

            return rewrite_expr(expr, visit)

        def statement(stmt: Stmt) -> Stmt:
            if isinstance(stmt, Loop) and stmt.axis in self.axes:
                (inner,) = stmt.body
                assert isinstance(inner, Loop)
                body = tuple(statement(part) for part in inner.body)
                return replace(stmt, stop=index(self.count * self.width), body=body)
            return map_blocks(stmt, lambda part: tuple(statement(inner) for inner in part))

        merged = tuple(statement(stmt) for stmt in block)
        return map_refs(map_expressions(merged, expression), self._ref)

    def _ref(self, target: Ref) -> Ref:
        return Ref(target.buffer, self._indices(target.buffer, target.indices))
