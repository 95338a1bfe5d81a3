"""Finding, copying and simplifying loops."""

from __future__ import annotations

import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.expr import vars_of
from mlir_lite.tile.nodes import Kernel, Loop, Stmt, Store
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import (
    Names,
    accesses,
    base,
    chain,
    copy_block,
    extent_of,
    loops_of,
    nest,
    tidy,
)

from .steps.stepping import expect_step


def kernel(body: str) -> Kernel:
    return parse_kernel(f"kernel @k(%x: f32[4, 6], %y: out f32[4, 6]) {{\n{body}\n}}")


COPY = kernel("for i in 0..4 { for j in 0..6 { y[i, j] = x[i, j] } }")


def test_copies_of_an_axis_have_its_name() -> None:
    assert base("m.i$12") == "m.i"
    body = "for i in 0..2 { y[i, 0] = x[i, 0] } for i$1 in 2..4 { y[i$1, 0] = x[i$1, 0] }"
    found = loops_of(kernel(body.replace("i$1", '"i$1"')), "i")
    assert [loop.axis for loop in found] == ["i", "i$1"]


def test_a_chain_ends_where_the_nest_is_not_perfect() -> None:
    (loop,) = kernel(
        "for i in 0..4 { for j in 0..6 { y[i, j] = x[i, j]  for k in 0..1 { y[i, k] = 0.0 } } }"
    ).body
    assert isinstance(loop, Loop)
    loops, body = chain(loop)
    assert [entry.axis for entry in loops] == ["i", "j"] and len(body) == 2
    assert nest(loops, body) == (loop,)


def test_the_extent_of_a_loop() -> None:
    triangle = kernel("for i in 1..4 { for j in 0..i { y[i, j] = x[i, j] } }")
    outer, inner = (stmt for stmt in walk(triangle.body) if isinstance(stmt, Loop))
    assert extent_of(outer) == 3
    with pytest.raises(VerifyError, match="the loop over j has no constant limits"):
        extent_of(inner)


def test_a_copied_block_has_names_of_its_own() -> None:
    let = kernel("for i in 0..4 { let a = x[i, 0]  y[i, 0] = a }")
    copied = copy_block(let.body, Names(let))
    names = [stmt.axis if isinstance(stmt, Loop) else "" for stmt in walk(copied)]
    assert names[0] == "i$1"
    together = let.with_body((*let.body, *copied))
    assert str(parse_kernel(str(together))) == str(together)
    (store,) = (stmt for stmt in walk(copied) if isinstance(stmt, Store))
    assert vars_of(store.value) == {"a$1"}


def test_accesses_are_reads_then_the_write_of_each_statement() -> None:
    found = [(name, writes) for name, _, writes in accesses(COPY.body)]
    assert found == [("x", False), ("y", True)]


def test_tidy_drops_what_runs_once_or_never() -> None:
    expect_step(
        tidy,
        """kernel @k(%x: f32[4, 6], %y: out f32[4]) {
          for i in 0..4 {
            for j in 2..3 { y[i] = x[i, j] }
            for q in 5..5 { y[i] = x[i, q] }
          }
        }""",
        """kernel @k(%x: f32[4, 6], %y: out f32[4]) {
          for i in 0..4 { y[i] = x[i, 2] }
        }""",
    )


@pytest.mark.parametrize(
    ("condition", "left"),
    [("i < 4", "y[i, 0] = 1.0"), ("i > 3", "y[i, 0] = 2.0")],
)
def test_tidy_drops_conditions_that_the_limits_decide(condition: str, left: str) -> None:
    body = f"for i in 0..4 {{ if {condition} {{ y[i, 0] = 1.0 }} else {{ y[i, 0] = 2.0 }} }}"
    assert str(tidy(kernel(body))) == str(kernel(f"for i in 0..4 {{ {left} }}"))


def test_tidy_keeps_a_condition_that_the_limits_leave_open() -> None:
    body = kernel("for i in 0..4 { if i < 3 { y[i, 0] = 1.0 } }")
    assert tidy(body) == body


def test_tidy_divides_by_the_limits() -> None:
    """`(i * 6 + j) floordiv 6` is i where j is below 6."""
    place = "(i * 6 + j) floordiv 6, (i * 6 + j) mod 6"
    given = kernel(f"for i in 0..4 {{ for j in 0..6 {{ y[{place}] = 1.0 }} }}")
    wanted: tuple[Stmt, ...] = kernel("for i in 0..4 { for j in 0..6 { y[i, j] = 1.0 } }").body
    assert tidy(given).body == wanted
