"""Schedule steps on reductions: each before and after, and equal in the interpreter."""

from __future__ import annotations

import pytest

from mlir_lite.expr import loads_of
from mlir_lite.tile.nodes import Accumulate, Kernel, Kind
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.lift_guards import lift_guards
from mlir_lite.tile.steps.loops import distribute, mark, reorder, split, vectorise
from mlir_lite.tile.steps.reductions import split_accumulator
from mlir_lite.tile.steps.sink import sink
from mlir_lite.tile.traverse import walk

from .stepping import expect_step, same_kernel


def product(m: int, n: int, k: int = 3) -> Kernel:
    return parse_kernel(f"""
        kernel @k(%a: f32[{m}, {k}], %b: f32[{k}, {n}], %y: out f32[{m}, {n}]) {{
          buffer acc: register f32[]
          for i in 0..{m} {{
            for j in 0..{n} {{
              acc[] = 0.0
              for k in 0..{k} {{ acc[] += a[i, k] * b[k, j] }}
              y[i, j] = max(acc[], 0.0)
            }}
          }}
        }}""")


def row_sum(n: int, combiner: str = "+=", start: str = "0.0") -> str:
    return f"""
        kernel @k(%x: f32[{n}], %y: out f32[]) {{
          buffer acc: register f32[]
          acc[] = {start}
          for k in 0..{n} {{ acc[] {combiner} x[k] }}
          y[] = acc[]
        }}"""


def test_sink_moves_a_tile_inside_the_reduction() -> None:
    expect_step(
        lambda kernel: sink(kernel, ("i",)),
        """
        kernel @k(%a: f32[4, 3], %y: out f32[4]) {
          buffer acc: register f32[]
          unroll i in 0..4 {
            acc[] = 0.0
            for k in 0..3 { acc[] += a[i, k] }
            y[i] = acc[]
          }
        }""",
        """
        kernel @k(%a: f32[4, 3], %y: out f32[4]) {
          buffer acc: register f32[4]
          unroll i in 0..4 { acc[i] = 0.0 }
          for k in 0..3 { unroll "i$1" in 0..4 { acc["i$1"] += a["i$1", k] } }
          unroll "i$2" in 0..4 { y["i$2"] = acc["i$2"] }
        }""",
    )


def tiled(kernel: Kernel, rows: int, lanes: int) -> Kernel:
    """A register tile as the product recipe makes it, its edges cut off."""
    kernel = split(kernel, "i", rows)
    kernel = vectorise(kernel, "j", lanes)
    for axis in ("i.i", "i.o"):
        kernel = distribute(kernel, axis, ("j.o", "j.i"))
    kernel = reorder(kernel, ["j.o", "i.o", "i.i", "j.i"])
    return sink(mark(kernel, "i.i", Kind.UNROLL), ("i.i", "j.i"))


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 13])
def test_register_tiles_of_every_edge(m: int, n: int) -> None:
    kernel = product(m, n)
    same_kernel(kernel, tiled(kernel, 2, 4))


def test_sink_leaves_a_uniform_condition_outside() -> None:
    expect_step(
        lambda kernel: sink(kernel, ("i",)),
        """
        kernel @k(%a: f32[4, 3], %n: i64[3], %y: out f32[4]) {
          buffer acc: register f32[]
          unroll i in 0..4 {
            acc[] = 0.0
            for k in 0..3 { if n[k] < 1 { acc[] += a[i, k] } }
            y[i] = acc[]
          }
        }""",
        """
        kernel @k(%a: f32[4, 3], %n: i64[3], %y: out f32[4]) {
          buffer acc: register f32[4]
          unroll i in 0..4 { acc[i] = 0.0 }
          for k in 0..3 { if n[k] < 1 { unroll "i$1" in 0..4 { acc["i$1"] += a["i$1", k] } } }
          unroll "i$2" in 0..4 { y["i$2"] = acc["i$2"] }
        }""",
        indices=2,
    )


def test_split_accumulator_joins_in_a_fixed_order() -> None:
    expect_step(
        lambda kernel: split_accumulator(vectorise(kernel, "k", 4), ("k.i",)),
        row_sum(8),
        """
        kernel @k(%x: f32[8], %y: out f32[]) {
          buffer acc: register f32[]
          buffer part: register f32[4]
          acc[] = 0.0
          vector k.i in 0..4 { part[k.i] = 0.0 }
          for k.o in 0..2 { vector "k.i$1" in 0..4 { part["k.i$1"] += x[k.o * 4 + "k.i$1"] } }
          vector "k.i$2" in 0..4 { acc[] += part["k.i$2"] }
          y[] = acc[]
        }""",
    )


@pytest.mark.parametrize(("combiner", "start"), [("+=", "0.0"), ("max=", "-inf"), ("*=", "1.0")])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 16, 17, 37])
def test_accumulators_of_any_length_and_combiner(n: int, combiner: str, start: str) -> None:
    kernel = parse_kernel(row_sum(n, combiner, start))
    got = split(vectorise(kernel, "k", 4), "k.o", 2)
    got = split_accumulator(mark(got, "k.o.i", Kind.UNROLL), ("k.o.i", "k.i"))
    same_kernel(kernel, split_accumulator(got, ("k.i",)))


def test_the_state_of_a_tuple_is_split_together() -> None:
    kernel = parse_kernel("""
        kernel @k(%x: f32[13], %y: out f32[], %p: out i64[]) {
          buffer best: register f32[]
          buffer place: register i64[]
          best[] = -inf
          place[] = 0
          for k in 0..13 { best[], place[] argmax= x[k], k }
          y[] = best[]
          p[] = place[]
        }""")
    same_kernel(kernel, split_accumulator(vectorise(kernel, "k", 4), ("k.i",)))


def test_two_sums_in_one_loop_are_left_alone() -> None:
    expect_step(
        lambda kernel: split_accumulator(kernel, ("k",)),
        """
        kernel @k(%x: f32[8], %y: out f32[], %z: out f32[]) {
          y[] = 0.0
          z[] = 0.0
          for k in 0..8 {
            y[] += x[k]
            z[] += x[k] * x[k]
          }
        }""",
    )


def test_a_loop_whose_iterations_have_accumulators_is_not_split_again() -> None:
    kernel = parse_kernel(row_sum(8))
    once = split_accumulator(vectorise(kernel, "k", 4), ("k.i",))
    twice = split_accumulator(once, ("k.i",))

    def sums_of_x(kernel: Kernel) -> list[str]:
        found = [stmt for stmt in walk(kernel.body) if isinstance(stmt, Accumulate)]
        return [
            stmt.targets[0].buffer
            for stmt in found
            if any(load.buffer == "x" for value in stmt.values for load in loads_of(value))
        ]

    assert sums_of_x(once) == sums_of_x(twice) == ["part"]
    same_kernel(kernel, twice)


def test_a_guarded_term_becomes_a_condition() -> None:
    """Taps in the padding are left out rather than multiplied."""
    expect_step(
        lift_guards,
        """
        kernel @k(%x: f32[4], %w: f32[3], %y: out f32[2]) {
          buffer acc: register f32[]
          for i in 0..2 {
            acc[] = 0.0
            for t in 0..3 {
              acc[] += select(i + t >= 1, x[max(i + t - 1, 0)], 0.0) * w[t]
            }
            y[i] = acc[]
          }
        }""",
        """
        kernel @k(%x: f32[4], %w: f32[3], %y: out f32[2]) {
          buffer acc: register f32[]
          for i in 0..2 {
            acc[] = 0.0
            for t in 0..3 {
              if i + t >= 1 { acc[] += x[max(i + t - 1, 0)] * w[t] }
            }
            y[i] = acc[]
          }
        }""",
    )


def test_a_condition_moves_out_of_loops_it_does_not_depend_on() -> None:
    expect_step(
        lift_guards,
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4]) {
          buffer acc: register f32[]
          for i in 0..4 {
            acc[] = 0.0
            for t in 0..3 { for c in 0..5 {
              acc[] += select(i >= t and c < 4, x[max(i - t, 0), c], 0.0)
            } }
            y[i] = acc[]
          }
        }""",
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4]) {
          buffer acc: register f32[]
          for i in 0..4 {
            acc[] = 0.0
            for t in 0..3 {
              if i >= t { for c in 0..5 { if c < 4 { acc[] += x[max(i - t, 0), c] } } }
            }
            y[i] = acc[]
          }
        }""",
    )


@pytest.mark.parametrize(
    "term",
    ["select(i >= 1, x[i], 1.0)", "select(i >= 1, x[i], 0.0) + 1.0"],
    ids=["another fill", "not the whole term"],
)
def test_a_choice_that_is_no_guard_stays(term: str) -> None:
    expect_step(
        lift_guards,
        f"""
        kernel @k(%x: f32[4], %y: out f32[]) {{
          y[] = 0.0
          for i in 0..4 {{ y[] += {term} }}
        }}""",
    )


def test_a_maximum_is_guarded_by_its_own_identity() -> None:
    expect_step(
        lift_guards,
        """
        kernel @k(%x: f32[4], %y: out f32[]) {
          y[] = -inf
          for i in 0..4 { y[] max= select(i >= 1, x[i], -inf) }
        }""",
        """
        kernel @k(%x: f32[4], %y: out f32[]) {
          y[] = -inf
          for i in 0..4 { if i >= 1 { y[] max= x[i] } }
        }""",
    )


def test_a_sum_beside_stores_gets_several_accumulators() -> None:
    expect_step(
        lambda kernel: split_accumulator(mark(split(kernel, "k", 2), "k.i", Kind.UNROLL), ("k.i",)),
        """
        kernel @k(%x: f32[6], %y: out f32[6], %z: out f32[]) {
          buffer acc: register f32[]
          acc[] = 0.0
          for k in 0..6 {
            y[k] = x[k] * 2.0
            acc[] += y[k]
          }
          z[] = acc[]
        }""",
        """
        kernel @k(%x: f32[6], %y: out f32[6], %z: out f32[]) {
          buffer acc: register f32[]
          buffer part: register f32[2]
          acc[] = 0.0
          unroll k.i in 0..2 { part[k.i] = 0.0 }
          for k.o in 0..3 {
            unroll k.i$1 in 0..2 {
              y[k.o * 2 + k.i$1] = x[k.o * 2 + k.i$1] * 2.0
              part[k.i$1] += y[k.o * 2 + k.i$1]
            }
          }
          unroll k.i$2 in 0..2 { acc[] += part[k.i$2] }
          z[] = acc[]
        }""",
    )


def test_a_sum_whose_state_is_stored_stays_one() -> None:
    """As of the sums up to each element."""
    expect_step(
        lambda kernel: split_accumulator(kernel, ("k",)),
        """
        kernel @k(%x: f32[6], %y: out f32[6]) {
          buffer acc: register f32[]
          acc[] = 0.0
          for k in 0..6 {
            acc[] += x[k]
            y[k] = acc[]
          }
        }""",
    )
