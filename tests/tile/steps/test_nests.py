"""Several nests of a kernel: how far they share loops, and their registers kept apart."""

from __future__ import annotations

import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.tile.nodes import Kernel, Loop
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.nests import (
    block_rows,
    common_depth,
    fuse_leading,
    iterations_are_private,
    privatise,
    privatise_in_blocks,
    renamed,
)

from .stepping import expect_step, same_kernel


def two(first: str, second: str) -> Kernel:
    """A kernel that writes the local t in one nest and reads it in the next."""
    return parse_kernel(f"""
        kernel @k(%x: f32[4, 4], %y: out f32[4, 4]) {{
          buffer t: shared f32[4, 4]
          for i in 0..4 {{ for j in 0..4 {{ t[i, j] = {first} }} }}
          for p in 0..4 {{ for q in 0..4 {{ y[p, q] = {second} }} }}
        }}""")


def test_fuse_leading_keeps_only_a_row() -> None:
    expect_step(
        lambda kernel: fuse_leading(kernel, 1),
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4, 5]) {
          buffer t: shared f32[4]
          buffer acc: register f32[]
          for i in 0..4 {
            acc[] = 0.0
            for k in 0..5 { acc[] += x[i, k] }
            t[i] = acc[]
          }
          for p in 0..4 { for q in 0..5 { y[p, q] = x[p, q] * t[p] } }
        }""",
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4, 5]) {
          buffer t: shared f32[]
          buffer acc: register f32[]
          for p in 0..4 {
            acc[] = 0.0
            for k in 0..5 { acc[] += x[p, k] }
            t[] = acc[]
            for q in 0..5 { y[p, q] = x[p, q] * t[] }
          }
        }""",
    )


SUMS = """
    kernel @k(%x: f32[2, 1, 4, 5], %y: out f32[2, 1, 4, 5]) {
      buffer t: shared f32[2, 1, 4, 5]
      buffer s: shared f32[2, 1, 4, 1]
      buffer acc: register f32[]
      for i in 0..2 { for j in 0..4 { for k in 0..5 { t[i, 0, j, k] = exp(x[i, 0, j, k]) } } }
      for p in 0..2 { for q in 0..4 {
        acc[] = 0.0
        for r in 0..5 { acc[] += t[p, 0, q, r] }
        s[p, 0, q, 0] = acc[]
      } }
      for u in 0..2 { for v in 0..4 { for w in 0..5 {
        y[u, 0, v, w] = t[u, 0, v, w] / s[u, 0, v, 0]
      } } }
    }"""


def test_dimensions_of_one_element_have_no_loop_to_share() -> None:
    kernel = parse_kernel(SUMS)
    assert common_depth(kernel) == 2
    fused = fuse_leading(kernel, 2)
    assert [local.shape for local in fused.locals] == [(5,), (), ()]
    same_kernel(kernel, fused)


def test_block_rows_takes_some_rows_through_each_nest() -> None:
    expect_step(
        lambda kernel: block_rows(kernel, 2, 2),
        SUMS,
        """
        kernel @k(%x: f32[2, 1, 4, 5], %y: out f32[2, 1, 4, 5]) {
          buffer t: shared f32[2, 5]
          buffer s: shared f32[2, 1]
          buffer acc: register f32[]
          for u in 0..2 {
            for v.o in 0..2 {
              for j.i in 0..2 { for k in 0..5 { t[j.i, k] = exp(x[u, 0, v.o * 2 + j.i, k]) } }
              for q.i in 0..2 {
                acc[] = 0.0
                for r in 0..5 { acc[] += t[q.i, r] }
                s[q.i, 0] = acc[]
              }
              for v.i in 0..2 { for w in 0..5 {
                y[u, 0, v.o * 2 + v.i, w] = t[v.i, w] / s[v.i, 0]
              } }
            }
          }
        }""",
    )


def test_blocks_must_divide_the_rows() -> None:
    with pytest.raises(VerifyError, match="4 iterations in blocks of 3"):
        block_rows(parse_kernel(SUMS), 2, 3)


@pytest.mark.parametrize(
    ("second", "depth"), [("t[p, q]", 2), ("t[p, 0]", 1), ("t[q, p]", 0), ("t[3 - p, q]", 0)]
)
def test_depth_is_how_far_local_reads_follow_the_loops(second: str, depth: int) -> None:
    kernel = two("x[i, j]", second)
    assert common_depth(kernel) == depth
    if depth:
        same_kernel(kernel, fuse_leading(kernel, depth))


def test_an_output_that_is_read_again_counts_as_local_does() -> None:
    """Row p of the second nest reads a column of the first, which is not there yet."""
    kernel = parse_kernel("""
        kernel @k(%x: f32[4, 4], %t: out f32[4, 4], %y: out f32[4]) {
          buffer acc: register f32[]
          for i in 0..4 { for j in 0..4 { t[i, j] = x[i, j] } }
          for p in 0..4 {
            acc[] = 0.0
            for k in 0..4 { acc[] += t[k, p] }
            y[p] = acc[]
          }
        }""")
    assert common_depth(kernel) == 0


def test_loops_of_different_extents_are_not_shared() -> None:
    kernel = parse_kernel("""
        kernel @k(%x: f32[4], %y: out f32[4], %z: out f32[3]) {
          for i in 0..4 { y[i] = x[i] }
          for j in 0..3 { z[j] = x[j] }
        }""")
    assert common_depth(kernel) == 0


TWO_SUMS = """
    kernel @k(%x: f32[4, 5], %y: out f32[4], %z: out f32[5]) {
      buffer acc: register f32[]
      for i in 0..4 {
        acc[] = 0.0
        for k in 0..5 { acc[] += x[i, k] }
        y[i] = acc[]
      }
      for j in 0..5 {
        acc[] = 0.0
        for k.1 in 0..4 { acc[] += x[k.1, j] }
        z[j] = acc[]
      }
    }"""


@pytest.mark.parametrize("space", ["register", "shared"])
def test_privatise_gives_each_nest_its_own_scalar(space: str) -> None:
    text = TWO_SUMS.replace("acc: register", f"acc: {space}")
    first, second = text.split("for j")
    second = second.replace("acc", "acc_1")
    first = first.replace("f32[]\n", f"f32[]\n buffer acc_1: {space} f32[]\n", 1)
    expect_step(privatise, text, f"{first}for j{second}")


def test_privatise_in_blocks_goes_where_all_uses_are() -> None:
    """The first register is used on both sides of the block, so that it stays one."""
    expect_step(
        privatise_in_blocks,
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4, 5], %z: out f32[1]) {
          buffer a: register f32[]
          buffer b: register f32[]
          a[] = 0.0
          for i in 0..4 {
            for j in 0..5 { b[] = x[i, j]  y[i, j] = b[] }
            for k in 0..5 { b[] = y[i, k]  a[] = a[] + b[] }
          }
          z[0] = a[]
        }""",
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4, 5], %z: out f32[1]) {
          buffer a: register f32[]
          buffer b: register f32[]
          buffer b_1: register f32[]
          a[] = 0.0
          for i in 0..4 {
            for j in 0..5 { b[] = x[i, j]  y[i, j] = b[] }
            for k in 0..5 { b_1[] = y[i, k]  a[] = a[] + b_1[] }
          }
          z[0] = a[]
        }""",
    )


@pytest.mark.parametrize(
    "rest", ["acc[] = x[i] + 1.0", "acc[] = x[i]  z[i] = acc[]  acc[] = x[i] + 1.0"]
)
def test_privatise_in_blocks_leaves_what_one_iteration_gives_the_next(rest: str) -> None:
    text = f"""
        kernel @k(%x: f32[5], %y: out f32[5], %z: out f32[5]) {{
          buffer acc: register f32[]
          for i in 0..5 {{
            if i == 0 {{ acc[] = 1.0 }}
            y[i] = acc[]
            z[i] = 0.0
            {rest}
          }}
        }}"""
    expect_step(privatise_in_blocks, text)


def test_what_a_branch_writes_is_not_written_first_for_what_follows() -> None:
    branch = "if i == 0 { acc[] = 1.0 }"
    for rest, is_private in (("", True), ("acc[] = 2.0", True), ("y[i] = acc[]", False)):
        kernel = parse_kernel(f"""
            kernel @k(%y: out f32[4]) {{
              buffer acc: register f32[]
              for i in 0..4 {{ {branch} {rest} y[i] = 1.0 }}
            }}""")
        (loop,) = kernel.body
        assert isinstance(loop, Loop)
        assert iterations_are_private(kernel, loop) == is_private


def test_a_register_carried_on_keeps_its_name() -> None:
    """The loop reads the total before it writes it: it goes on with what was there."""
    expect_step(
        privatise,
        """
        kernel @k(%x: f32[4], %y: out f32[4]) {
          buffer total: register f32[]
          total[] = 0.0
          for i in 0..4 {
            total[] = total[] + x[i]
            y[i] = total[]
          }
        }""",
    )


@pytest.mark.parametrize(
    ("body", "private"),
    [
        ("t[] = x[i]  y[i] = t[]", True),
        ("t[] = t[] + x[i]  y[i] = t[]", False),
        ("y[i] = t[]  t[] = x[i]", False),
        ("t[] += x[i]  y[i] = x[i]", False),
        ("y[i] = x[i]", True),
    ],
)
def test_iterations_are_private_if_they_write_first(body: str, private: bool) -> None:
    kernel = parse_kernel(f"""
        kernel @k(%x: f32[4], %y: out f32[4]) {{
          buffer t: register f32[]
          t[] = 0.0
          for i in 0..4 {{ {body} }}
        }}""")
    loop = kernel.body[-1]
    assert isinstance(loop, Loop)
    assert iterations_are_private(kernel, loop) == private


@pytest.mark.parametrize(("space", "private"), [("shared", True), ("register", False)])
def test_iterations_may_read_what_is_in_memory_before(space: str, private: bool) -> None:
    kernel = parse_kernel(f"""
        kernel @k(%x: f32[4], %y: out f32[4]) {{
          buffer t: {space} f32[4]
          for j in 0..4 {{ t[j] = x[j] }}
          for i in 0..4 {{ y[i] = t[3 - i] }}
        }}""")
    loop = kernel.body[-1]
    assert isinstance(loop, Loop)
    assert iterations_are_private(kernel, loop) == private


CALL = "call @vpdpbf16ps(t[0], x[i, 0], w[0, 0])"


@pytest.mark.parametrize(
    ("body", "private"),
    [
        (CALL, False),
        (f"vector l in 0..16 {{ t[l] = 0.0 }} {CALL}", True),
        (f"{CALL} vector l in 0..16 {{ t[l] = 0.0 }}", False),
    ],
)
def test_sums_that_instructions_add_to_are_not_private(body: str, private: bool) -> None:
    """Unless each iteration begins them."""
    kernel = parse_kernel(f"""
        kernel @k(%x: bf16[4, 2], %w: bf16[16, 2], %y: out f32[16]) {{
          buffer t: register f32[16]
          vector a in 0..16 {{ t[a] = 0.0 }}
          for i in 0..4 {{ {body} }}
          vector b in 0..16 {{ y[b] = t[b] }}
        }}""")
    (loop,) = (stmt for stmt in kernel.body if isinstance(stmt, Loop) and stmt.axis == "i")
    assert iterations_are_private(kernel, loop) == private


def test_windows_of_a_renamed_buffer_are_renamed() -> None:
    text = """
        kernel @rows(%x: align(16) f32[8, 4], %y: align(16) f32[8, 4], %z: out f32[8, 4]) {
          buffer s: shared align(16) f32[8, 4]
          for i in 0..8 {
            call @copy_f32x4(s[i, 0], SOURCE[i, 0]; 4)
            z[i, 0] = SOURCE[i, 0]
          }
        }"""
    before, after = (parse_kernel(text.replace("SOURCE", name)) for name in ("y", "x"))
    assert renamed(before.body, "y", "x") == after.body
