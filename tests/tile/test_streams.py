"""stream: sums of columns as sums of rows."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.expr import const
from mlir_lite.tile.nodes import Buffer, Kernel, Space
from mlir_lite.tile.streams import stream
from mlir_lite.tile.verify import verify_kernel
from mlir_lite.types import f32

from .building import acc, both, ld, loop, normal, st, v


def product(extent: int) -> Kernel:
    """A kernel of `y[3] = 2 * sum_k a[k] * b[k, 3]`."""
    total = acc("acc", (), ld("a", v("k")) * ld("b", v("k"), v("n")))
    body = (
        st("acc", (), const(0.0, f32)),
        loop("k", extent, total),
        st("y", (v("n"),), ld("acc") * 2.0),
    )
    shapes = {"a": (extent,), "b": (extent, 3), "y": (3,)}
    params = tuple(Buffer(name, f32, shape) for name, shape in shapes.items())
    local = (Buffer("acc", f32, (), Space.REGISTER),)
    return Kernel("product", params, ("y",), (loop("n", 3, *body),), local)


def test_rows_are_added_to_totals_in_memory() -> None:
    assert str(stream(product(8), "n", 4)) == (
        "kernel @product(%a: f32[8], %b: f32[8, 3], %y: out f32[3]) {\n"
        "  buffer acc: register f32[]\n"
        "  buffer total: shared f32[3]\n"
        "  for n in 0..3 {\n"
        "    total[n] = 0.0\n"
        "  }\n"
        "  for k.o in 0..2 {\n"
        "    for n$1 in 0..3 {\n"
        "      acc[] = total[n$1]\n"
        "      unroll k.i in 0..4 {\n"
        "        acc[] += a[k.o * 4 + k.i] * b[k.o * 4 + k.i, n$1]\n"
        "      }\n"
        "      total[n$1] = acc[]\n"
        "    }\n"
        "  }\n"
        "  for n$2 in 0..3 {\n"
        "    acc[] = total[n$2]\n"
        "    y[n$2] = acc[] * 2.0\n"
        "  }\n"
        "}\n"
    )


@pytest.mark.parametrize("extent", [1, 3, 4, 5, 8, 11])
def test_the_order_of_additions_stays(extent: int) -> None:
    kernel = product(extent)
    streamed = stream(kernel, "n", 4)
    verify_kernel(streamed)
    a, b = normal(extent), normal(extent, 3)
    np.testing.assert_array_equal(both(streamed, a=a, b=b)["y"], both(kernel, a=a, b=b)["y"])


def test_loops_without_a_sum_stay() -> None:
    params = (Buffer("x", f32, (4,)), Buffer("y", f32, (4,)))
    copy = loop("n", 4, st("y", (v("n"),), ld("x", v("n"))))
    kernel = Kernel("copy", params, ("y",), (copy,))
    assert stream(kernel, "n", 4) == kernel
