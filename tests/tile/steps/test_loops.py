"""Schedule steps on loops: each before and after, and equal in the interpreter."""

from __future__ import annotations

import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.tile.nodes import Kernel, Kind
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.loops import (
    Tail,
    chunk,
    condition_points,
    distribute,
    mark,
    partition,
    reorder,
    split,
    vectorise,
)

from .stepping import expect_step, same_kernel


def plus_one(body: str, extent: int = 10) -> str:
    return f"kernel @k(%x: f32[{extent}], %y: out f32[{extent}]) {{\n{body}\n}}"


PLUS_ONE = plus_one("for i in 0..10 { y[i] = x[i] + 1.0 }")
PRODUCT = """
kernel @k(%a: f32[4, 3], %b: f32[3, 6], %y: out f32[4, 6]) {
  buffer acc: register f32[]
  for i in 0..4 {
    for j in 0..6 {
      acc[] = 0.0
      for k in 0..3 { acc[] += a[i, k] * b[k, j] }
      y[i, j] = acc[]
    }
  }
}"""


def test_split_cuts_the_rest_off() -> None:
    expect_step(
        lambda kernel: split(kernel, "i", 4),
        PLUS_ONE,
        plus_one("""
            for i.o in 0..2 {
              for i.i in 0..4 { y[i.o * 4 + i.i] = x[i.o * 4 + i.i] + 1.0 }
            }
            for "i.i$1" in 0..2 { y["i.i$1" + 8] = x["i.i$1" + 8] + 1.0 }"""),
    )


def test_split_masks_the_rest() -> None:
    expect_step(
        lambda kernel: split(kernel, "i", 4, tail=Tail.MASK),
        PLUS_ONE,
        plus_one("""
            for i.o in 0..3 {
              for i.i in 0..4 {
                if i.o * 4 + i.i < 10 { y[i.o * 4 + i.i] = x[i.o * 4 + i.i] + 1.0 }
              }
            }"""),
    )


@pytest.mark.parametrize("tail", Tail)
@pytest.mark.parametrize("factor", [1, 2, 5, 9, 10, 11, 16])
def test_split_by_any_factor(factor: int, tail: Tail) -> None:
    for text in (PLUS_ONE, PRODUCT.replace("j", "m"), PRODUCT.replace("4", "10")):
        kernel = parse_kernel(text)
        same_kernel(kernel, split(kernel, "i", factor, tail=tail))


def test_a_loop_that_starts_later_is_split_from_there() -> None:
    expect_step(
        lambda kernel: split(kernel, "i", 4),
        plus_one("y[0] = 0.0  y[1] = 0.0  for i in 2..10 { y[i] = x[i] }"),
        plus_one("""
            y[0] = 0.0  y[1] = 0.0
            for i.o in 0..2 {
              for i.i in 0..4 { y[i.o * 4 + i.i + 2] = x[i.o * 4 + i.i + 2] }
            }"""),
    )


@pytest.mark.parametrize("source", ["2.0", "x[k mod 4]"])
def test_a_masked_reduction_leaves_out_what_is_beyond(source: str) -> None:
    """Also a term that leaves no buffer: seven terms are summed, not eight."""
    kernel = parse_kernel(f"""
        kernel @k(%x: f32[4], %y: out f32[]) {{
          buffer acc: register f32[]
          acc[] = 0.0
          for k in 0..7 {{ acc[] += {source} }}
          y[] = acc[]
        }}""")
    same_kernel(kernel, split(kernel, "k", 4, tail=Tail.MASK))
    same_kernel(kernel, vectorise(kernel, "k", 4))


def test_a_masked_tile_need_not_guard_what_is_its_own() -> None:
    """The panel is read whole: only the store to the output needs the condition."""
    expect_step(
        lambda kernel: split(kernel, "j", 4, tail=Tail.MASK),
        """
        kernel @k(%a: f32[3], %b: f32[3, 8], %y: out f32[6]) {
          buffer acc: register f32[]
          for j in 0..6 {
            acc[] = 0.0
            for k in 0..3 { acc[] += a[k] * b[k, j] }
            y[j] = acc[]
          }
        }""",
        """
        kernel @k(%a: f32[3], %b: f32[3, 8], %y: out f32[6]) {
          buffer acc: register f32[]
          for j.o in 0..2 {
            for j.i in 0..4 {
              acc[] = 0.0
              for k in 0..3 { acc[] += a[k] * b[k, j.o * 4 + j.i] }
              if j.o * 4 + j.i < 6 { y[j.o * 4 + j.i] = acc[] }
            }
          }
        }""",
    )


def test_a_masked_tile_does_not_guard_rows_that_other_limits_keep_inside() -> None:
    """No bounds tell that `i` stays below 6, but the condition would not either."""
    expect_step(
        lambda kernel: split(kernel, "j", 4, tail=Tail.MASK),
        """
        kernel @k(%a: f32[6], %b: f32[8], %y: out f32[6, 6]) {
          buffer acc: register f32[]
          for c in 0..2 {
            for i in 0..min(4, c * -4 + 6) {
              for j in 0..6 {
                acc[] = 0.0
                acc[] += a[c * 4 + i] * b[j]
                y[c * 4 + i, j] = acc[]
              }
            }
          }
        }""",
        """
        kernel @k(%a: f32[6], %b: f32[8], %y: out f32[6, 6]) {
          buffer acc: register f32[]
          for c in 0..2 {
            for i in 0..min(4, c * -4 + 6) {
              for j.o in 0..2 {
                for j.i in 0..4 {
                  acc[] = 0.0
                  acc[] += a[c * 4 + i] * b[j.o * 4 + j.i]
                  if j.o * 4 + j.i < 6 { y[c * 4 + i, j.o * 4 + j.i] = acc[] }
                }
              }
            }
          }
        }""",
    )


def test_a_loop_of_unknown_limits_is_not_split() -> None:
    triangle = "for i in 0..10 { for j in 0..i { y[j] = x[i] } }"
    with pytest.raises(VerifyError, match="the loop over j has no constant limits"):
        split(parse_kernel(plus_one(triangle)), "j", 4)


def test_reorder_exchanges_loops() -> None:
    body = "y[i, j] = x[i, j]"
    head = "kernel @k(%x: f32[2, 3], %y: out f32[2, 3])"
    expect_step(
        lambda kernel: reorder(kernel, ["j", "i"]),
        f"{head} {{ for i in 0..2 {{ for j in 0..3 {{ {body} }} }} }}",
        f"{head} {{ for j in 0..3 {{ for i in 0..2 {{ {body} }} }} }}",
    )


def test_reorder_leaves_unnamed_loops_outside() -> None:
    head = "kernel @k(%x: f32[2, 3, 4], %y: out f32[2, 3, 4])"
    body = "y[i, j, k] = x[i, j, k]"
    expect_step(
        lambda kernel: reorder(kernel, ["k", "i"]),
        f"{head} {{for i in 0..2 {{for j in 0..3 {{for k in 0..4 {{ {body} }} }} }} }}",
        f"{head} {{for j in 0..3 {{for k in 0..4 {{for i in 0..2 {{ {body} }} }} }} }}",
    )


def test_reorder_stops_at_what_is_not_perfectly_nested() -> None:
    """The loop over k is part of the body: it cannot come outside of its own initial value."""
    expect_step(lambda kernel: reorder(kernel, ["i", "j"]), PRODUCT)


def test_mark_says_how_every_copy_runs() -> None:
    expect_step(
        lambda kernel: mark(partition(kernel, "i", [4]), "i", Kind.PARALLEL),
        PLUS_ONE,
        plus_one("""
            parallel i in 0..4 { y[i] = x[i] + 1.0 }
            parallel "i$1" in 4..10 { y["i$1"] = x["i$1"] + 1.0 }"""),
    )


def test_partition_cuts_at_the_points_inside() -> None:
    expect_step(
        lambda kernel: partition(kernel, "i", [7, 3, 0, 10, 99]),
        PLUS_ONE,
        plus_one("""
            for i in 0..3 { y[i] = x[i] + 1.0 }
            for "i$1" in 3..7 { y["i$1"] = x["i$1"] + 1.0 }
            for "i$2" in 7..10 { y["i$2"] = x["i$2"] + 1.0 }"""),
    )


def test_partition_decides_conditions() -> None:
    expect_step(
        lambda kernel: partition(kernel, "i", condition_points(kernel, "i")),
        plus_one("for i in 0..10 { y[i] = select(i >= 1, x[max(i - 1, 0)], 0.0) }"),
        plus_one("""
            y[0] = 0.0
            for "i$1" in 1..10 { y["i$1"] = x["i$1" - 1] }"""),
    )


@pytest.mark.parametrize(
    ("condition", "points"),
    [
        ("i < 4", [4]),
        ("i <= 4", [5]),
        ("i > 4", [5]),
        ("i >= 4", [4]),
        ("3 - i < 0", [4]),
        ("3 - i > 0", [3]),
        ("2 * i < 7", [4]),
        ("7 - 2 * i >= 0", [4]),
        ("i + j < 6", [4, 6]),
        ("x[i] < 0.5", []),
        ("j < 2", []),
    ],
)
def test_condition_points_are_where_the_condition_is_decided(
    condition: str, points: list[int]
) -> None:
    """`i + j < 6` with j in 0..3 holds below 4, and never from 6 on."""
    text = plus_one(
        f"for j in 0..3 {{ for i in 0..10 {{ y[i] = select({condition}, 1.0:f32, 2.0:f32) }} }}"
    )
    kernel = parse_kernel(text)
    assert condition_points(kernel, "i") == points
    same_kernel(kernel, partition(kernel, "i", points))


def test_distribute_gives_each_piece_its_own_loop() -> None:
    head = "kernel @k(%x: f32[2, 5], %y: out f32[2, 5])"
    expect_step(
        lambda kernel: distribute(kernel, "i", ("j",)),
        f"""{head} {{
          for i in 0..2 {{
            for j in 0..3 {{ y[i, j] = x[i, j] }}
            for "j$1" in 3..5 {{ y[i, "j$1"] = x[i, "j$1"] }}
          }}
        }}""",
        f"""{head} {{
          for i in 0..2 {{ for j in 0..3 {{ y[i, j] = x[i, j] }} }}
          for "i$1" in 0..2 {{ for "j$2" in 3..5 {{ y["i$1", "j$2"] = x["i$1", "j$2"] }} }}
        }}""",
    )


def test_a_piece_whose_loop_ran_once_is_distributed_too() -> None:
    expect_step(
        lambda kernel: distribute(split(kernel, "j", 2), "i", ("j.o", "j.i")),
        """kernel @k(%x: f32[2, 3], %y: out f32[2, 3]) {
          for i in 0..2 { for j in 0..3 { y[i, j] = x[i, j] } }
        }""",
        """kernel @k(%x: f32[2, 3], %y: out f32[2, 3]) {
          for i in 0..2 { for j.i in 0..2 { y[i, j.i] = x[i, j.i] } }
          for "i$1" in 0..2 { y["i$1", 2] = x["i$1", 2] }
        }""",
    )


def test_chunk_makes_one_body_with_a_shorter_last_run() -> None:
    expect_step(
        lambda kernel: chunk(kernel, "i", 4),
        PLUS_ONE,
        plus_one("""
            for i.c in 0..3 {
              for i in 0..min(4, i.c * -4 + 10) { y[i + i.c * 4] = x[i + i.c * 4] + 1.0 }
            }"""),
    )


@pytest.mark.parametrize("size", [1, 3, 5, 10, 12])
def test_chunks_of_any_size(size: int) -> None:
    kernel = parse_kernel(PLUS_ONE)
    same_kernel(kernel, chunk(kernel, "i", size))


def test_vectorise_runs_the_rest_as_one_masked_vector() -> None:
    expect_step(
        lambda kernel: vectorise(kernel, "i", 4),
        PLUS_ONE,
        plus_one("""
            for i.o in 0..2 {
              vector i.i in 0..4 { y[i.o * 4 + i.i] = x[i.o * 4 + i.i] + 1.0 }
            }
            vector "i.i$1" in 0..4 {
              if "i.i$1" < 2 { y["i.i$1" + 8] = x["i.i$1" + 8] + 1.0 }
            }"""),
    )


def test_one_lane_is_no_vector() -> None:
    expect_step(lambda kernel: vectorise(kernel, "i", 1), PLUS_ONE)


STEPS = {
    "split": lambda kernel: split(kernel, "gone", 4),
    "partition": lambda kernel: partition(kernel, "gone", [3]),
    "chunk": lambda kernel: chunk(kernel, "gone", 3),
    "mark": lambda kernel: mark(kernel, "gone", Kind.UNROLL),
    "vectorise": lambda kernel: vectorise(kernel, "gone", 4),
    "distribute": lambda kernel: distribute(kernel, "gone", ("i",)),
    "reorder": lambda kernel: reorder(kernel, ["gone"]),
}


@pytest.mark.parametrize("step", STEPS)
def test_an_axis_that_ran_once_and_vanished_changes_nothing(step: str) -> None:
    kernel: Kernel = parse_kernel(PLUS_ONE)
    assert str(STEPS[step](kernel)) == str(kernel)
