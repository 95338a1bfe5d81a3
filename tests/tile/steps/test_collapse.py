"""collapse: two loops over a whole matrix are one loop over its elements."""

from __future__ import annotations

import pytest

from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.collapse import collapse, collapse_alike

from .stepping import same_kernel


def kernel(body: str, x: str = "2, 3") -> str:
    return f"kernel @k(%x: f32[{x}], %z: f32[3], %y: out f32[2, 3]) {{\n{body}\n}}"


def over(body: str) -> str:
    return f"for i in 0..2 {{ for j in 0..3 {{ {body} }} }}"


def test_every_access_takes_the_two_as_one() -> None:
    given = parse_kernel(kernel(over("y[i, j] = x[i, j] + z[0]")))
    got = collapse(given, "i", "j")
    assert got is not None
    wanted = "kernel @k(%x: f32[6], %z: f32[3], %y: out f32[6]) { for i in 0..6 { %s } }"
    assert str(got) == str(parse_kernel(wanted.replace("%s", "y[i] = x[i] + z[0]")))
    same_kernel(given, got)


def test_axes_in_the_middle() -> None:
    text = """
        kernel @k(%x: f32[5, 2, 3, 4], %y: out f32[4, 2, 3, 5]) {
          for p in 0..5 { for i in 0..2 { for j in 0..3 { for q in 0..4 {
            y[q, i, j, p] = x[p, i, j, q]
          } } } }
        }"""
    given = parse_kernel(text)
    got = collapse(given, "i", "j")
    assert got is not None and got.params[0].shape == (5, 6, 4)
    same_kernel(given, got)


def test_a_reduction_over_both_axes() -> None:
    text = """
        kernel @k(%x: f32[2, 3], %y: out f32[]) {
          buffer acc: register f32[]
          acc[] = 0.0
          for i in 0..2 { for j in 0..3 { acc[] += x[i, j] } }
          y[] = acc[]
        }"""
    given = parse_kernel(text)
    got = collapse(given, "i", "j")
    assert got is not None and got.params[0].shape == (6,)
    same_kernel(given, got)


@pytest.mark.parametrize(
    "text",
    [
        kernel(over("y[i, j] = x[j, i]"), x="3, 2"),
        kernel(over("y[i, j] = z[j]")),
        kernel(over("y[i, j] = x[i, j + 1]"), x="2, 4"),
        kernel(over("y[i, j] = x[i, j]"), x="3, 3"),
        kernel(over("y[i, j] = x[i, j] + x[1, 2]")),
        kernel(over("y[i, j] = select(j < 2, x[i, j], 0.0)")),
        kernel("for i in 0..2 { for j in 1..3 { y[i, j] = x[i, j] } }"),
        kernel("for i in 0..2 { y[i, 0] = 0.0  for j in 0..3 { y[i, j] = x[i, j] } }"),
    ],
    ids=[
        "transposed",
        "one axis only",
        "shifted",
        "part of a buffer",
        "another access",
        "condition",
        "later start",
        "imperfect nest",
    ],
)
def test_what_takes_them_apart_stays(text: str) -> None:
    assert collapse(parse_kernel(text), "i", "j") is None


def test_other_loops_may_take_a_matrix_apart() -> None:
    text = """
        kernel @k(%x: f32[2, 3], %z: f32[3], %y: out f32[2, 3]) {
          for k in 0..2 { for l in 0..3 { y[k, l] = z[l] } }
          for i in 0..2 { for j in 0..3 { y[i, j] = x[i, j] + y[i, j] } }
        }"""
    given = parse_kernel(text)
    assert collapse(given, "i", "j") is None
    got = collapse(given, "i", "j", alone=True)
    assert got is not None and "y[k * 3 + l] = z[l]" in str(got)
    same_kernel(given, got)


def test_loops_over_one_matrix_become_one_wherever_they_stand() -> None:
    text = """
        kernel @k(%x: f32[2, 3], %y: out f32[2, 3]) {
          buffer acc: register f32[]
          acc[] = 0.0
          for i in 0..2 { for j in 0..3 { acc[] += x[i, j] } }
          for k in 0..2 { for l in 0..3 { y[k, l] = x[k, l] - acc[] } }
        }"""
    given = parse_kernel(text)
    assert collapse(given, "i", "j") is None
    got = collapse_alike(given)
    assert [param.shape for param in got.params] == [(6,), (6,)]
    same_kernel(given, got)


def test_loops_of_which_some_do_not_take_two_as_one_stay() -> None:
    text = """
        kernel @k(%x: f32[2, 3], %z: f32[3], %y: out f32[2, 3]) {
          buffer acc: register f32[]
          acc[] = 0.0
          for i in 0..2 { for j in 0..3 { acc[] += x[i, j] } }
          for k in 0..2 { for l in 0..3 { y[k, l] = x[k, l] - z[l] } }
        }"""
    given = parse_kernel(text)
    assert collapse_alike(given) == given
