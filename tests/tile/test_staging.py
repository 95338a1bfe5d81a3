"""stage_stores: far-apart stores gathered in a scratch buffer."""

from __future__ import annotations

import numpy as np

from mlir_lite.expr import Expr
from mlir_lite.tile.nodes import Buffer, Kernel, Space, Stmt
from mlir_lite.tile.staging import stage_stores
from mlir_lite.tile.verify import verify_kernel
from mlir_lite.types import f32

from .building import both, ld, loop, normal, st, v


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
