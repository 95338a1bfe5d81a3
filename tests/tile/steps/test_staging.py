"""Staging: what is scattered in memory gathered in scratch or in registers."""

from __future__ import annotations

import numpy as np

from mlir_lite.expr import Expr, const
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import Buffer, Kernel, Kind, Space, Stmt
from mlir_lite.tile.steps.staging import stage_reads, stage_stores, stage_tiles
from mlir_lite.types import f32

from ..building import acc, both, ld, loop, normal, st, v


def scattering(*body: Stmt) -> Kernel:
    """A kernel of `y[3, 5, 4]` from `x[5, 4]` with this body in its loops t and c."""
    params = (Buffer("x", f32, (5, 4)), Buffer("y", f32, (3, 5, 4)))
    return Kernel("scatter", params, ("y",), (loop("t", 5, loop("c", 4, *body)),))


def store(place: int, value: Expr) -> Stmt:
    return st("y", (place, v("t"), v("c")), value)


X = ld("x", v("t"), v("c"))


def test_stores_become_one_run_a_row() -> None:
    kernel = scattering(store(0, X), store(1, X + 1), store(2, X * 2))
    staged = stage_stores(kernel, "c", padding=2)
    (rows,) = staged.locals
    assert (rows.shape, rows.space) == ((3, 6), Space.SHARED)
    verify_kernel(staged)
    x = normal(5, 4)
    np.testing.assert_array_equal(both(staged, x=x)["y"], both(kernel, x=x)["y"])
    np.testing.assert_array_equal(both(staged, x=x)["y"], [x, x + 1, x * 2])


def test_stores_that_skip_a_place_stay() -> None:
    kernel = scattering(store(0, X), store(2, X))
    assert stage_stores(kernel, "c") == kernel


def test_stores_that_differ_in_two_indices_stay() -> None:
    kernel = scattering(store(0, X), st("y", (1, v("t"), 3 - v("c")), X))
    assert stage_stores(kernel, "c") == kernel


def test_buffer_that_is_read_back_is_stored_at_once() -> None:
    kernel = scattering(store(0, X), store(1, ld("y", 0, v("t"), v("c"))))
    assert stage_stores(kernel, "c") == kernel


def turned(rows: int, columns: int) -> Kernel:
    """A kernel of `y[rows, columns] = x[columns, rows] + z[rows, columns]`, one tile."""
    body = st("y", (v("r"), v("c")), ld("x", v("c"), v("r")) + ld("z", v("r"), v("c")))
    shapes = {"x": (columns, rows), "z": (rows, columns), "y": (rows, columns)}
    params = tuple(Buffer(name, f32, shape) for name, shape in shapes.items())
    return Kernel("turn", params, ("y",), (loop("r", rows, loop("c", columns, body)),))


def test_a_turned_tile_is_read_line_by_line() -> None:
    staged = stage_tiles(turned(4, 3), "r", "c", ("x",), 4)
    assert str(staged) == (
        "kernel @turn(%x: f32[3, 4], %z: f32[4, 3], %y: out f32[4, 3]) {\n"
        "  buffer tile: register f32[4, 4]\n"
        "  unroll c.t in 0..3 {\n"
        "    for r.t in 0..4 {\n"
        "      tile[c.t, r.t] = x[c.t, r.t]\n"
        "    }\n"
        "  }\n"
        "  for r in 0..4 {\n"
        "    for c in 0..3 {\n"
        "      y[r, c] = tile[c, r] + z[r, c]\n"
        "    }\n"
        "  }\n"
        "}\n"
    )
    x, z = normal(3, 4), normal(4, 3)
    np.testing.assert_array_equal(both(staged, x=x, z=z)["y"], x.T + z)


def test_only_a_tile_of_two_loops_is_turned() -> None:
    kernel = scattering(store(0, X))
    assert stage_tiles(kernel, "c", "t", ("x",), 8) == kernel


def sums(extent: int) -> Kernel:
    """A kernel of `y[5, 6] += a[5, k] * b[k, 6]`, the columns in panels of three."""
    value = ld("a", v("m"), v("k")) * ld("b", v("k"), v("n.o") * 3 + v("n.i"))
    column = (v("m"), v("n.o") * 3 + v("n.i"))
    body = (st("y", column, const(0.0, f32)), loop("k", extent, acc("y", column, value)))
    shapes = {"a": (5, extent), "b": (extent, 6), "y": (5, 6)}
    params = tuple(Buffer(name, f32, shape) for name, shape in shapes.items())
    nest = loop("n.o", 2, loop("m", 5, loop("n.i", 3, *body)), kind=Kind.PARALLEL)
    return Kernel("product", params, ("y",), (nest,))


def test_a_panel_is_copied_before_the_rows_stream_by() -> None:
    staged = stage_reads(sums(4), "n.o", "b", ("k", "n.i"))
    assert str(staged) == (
        "kernel @product(%a: f32[5, 4], %b: f32[4, 6], %y: out f32[5, 6]) {\n"
        "  buffer panel: shared f32[4, 3]\n"
        "  parallel n.o in 0..2 {\n"
        "    for k.p in 0..4 {\n"
        "      for n.i.p in 0..3 {\n"
        "        panel[k.p, n.i.p] = b[k.p, n.o * 3 + n.i.p]\n"
        "      }\n"
        "    }\n"
        "    for m in 0..5 {\n"
        "      for n.i in 0..3 {\n"
        "        y[m, n.o * 3 + n.i] = 0.0\n"
        "        for k in 0..4 {\n"
        "          y[m, n.o * 3 + n.i] += a[m, k] * panel[k, n.i]\n"
        "        }\n"
        "      }\n"
        "    }\n"
        "  }\n"
        "}\n"
    )
    verify_kernel(staged)
    a, b = normal(5, 4), normal(4, 6)
    want = both(sums(4), a=a, b=b)["y"]
    np.testing.assert_array_equal(both(staged, a=a, b=b)["y"], want)


def test_a_buffer_read_in_two_ways_is_not_copied() -> None:
    kernel = scattering(store(0, X), store(1, ld("x", 4 - v("t"), v("c"))))
    assert stage_reads(kernel, "t", "x", ("c",)) == kernel
