"""split_interior: one copy of a guarded body without its guards."""

from __future__ import annotations

import numpy as np

from mlir_lite.expr import Apply, Expr, all_of, const, select, walk_expr
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import Block, Buffer, If, Kernel, Let
from mlir_lite.tile.steps.interior import split_interior
from mlir_lite.tile.traverse import expressions_of, walk
from mlir_lite.tile.tree import tidy
from mlir_lite.types import f32

from ..building import both, ld, loop, normal, st, v


def blurred(height: int, width: int) -> Kernel:
    """Sums of 3×3 pixels, zeros beyond the edge."""
    total: Expr = const(0, f32)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            row, column = v("i") + i, v("j") + j
            inside = all_of(row >= 0, row < height, column >= 0, column < width)
            total = total + select(inside, ld("x", row, column), const(0, f32))
    body = loop("i", height, loop("j", width, Let("t", total), st("y", (v("i"), v("j")), total)))
    shape = (height, width)
    return tidy(Kernel("blur", (Buffer("x", f32, shape), Buffer("y", f32, shape)), ("y",), (body,)))


def guards(block: Block) -> int:
    return sum(
        isinstance(node, Apply) and node.function == "select"
        for stmt in walk(block)
        for expr in expressions_of(stmt)
        for node in walk_expr(expr)
    )


def test_interior_has_no_guards_and_the_rest_has_all() -> None:
    kernel = blurred(6, 7)
    split = split_interior(kernel, "j")
    (branch,) = [stmt for stmt in walk(split.body) if isinstance(stmt, If)]
    assert guards(branch.then) == 0
    assert guards(branch.otherwise) == guards(kernel.body)


def test_result_is_the_same() -> None:
    for size in ((6, 7), (3, 3), (2, 5), (1, 4), (1, 1)):
        kernel = blurred(*size)
        split = split_interior(kernel, "j")
        verify_kernel(split)
        x = normal(*size)
        np.testing.assert_array_equal(both(split, x=x)["y"], both(kernel, x=x)["y"])


def test_body_without_guards_stays() -> None:
    body = loop("i", 4, loop("j", 4, st("y", (v("i"), v("j")), ld("x", v("i"), v("j")))))
    buffers = (Buffer("x", f32, (4, 4)), Buffer("y", f32, (4, 4)))
    kernel = Kernel("copy", buffers, ("y",), (body,))
    assert split_interior(kernel, "j") == kernel
