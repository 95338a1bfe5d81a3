"""Planted bugs: random programs find each, and show it in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from mlir_lite import Value
from mlir_lite.expr import Expr, select
from mlir_lite.ir import Element, Op, rewrite
from mlir_lite.ops.base.elements import Gradients
from mlir_lite.ops.elementwise.arithmetic import Divide, Maximum
from mlir_lite.ops.elementwise.unary import Square
from mlir_lite.ops.shapes.slice import Slice
from mlir_lite.passes.simplify import canonicalize as canonicalize_module
from mlir_lite.sizes import static

from .checking import check, wrong
from .programs import FAMILIES, LOOSE, SMOOTH, Families, Program, random_program

Patch = pytest.MonkeyPatch


def steps_are_forgotten(patch: Patch) -> None:
    def body(self: Slice, at: tuple[Expr, ...], x: Element) -> Expr:
        starts = static(self.starts)
        return x[tuple(place + start for place, start in zip(at, starts, strict=True))]

    patch.setattr(Slice, "body", body)


def numbers_win_over_nan(patch: Patch) -> None:
    def body(self: Maximum, at: tuple[Expr, ...], lhs: Element, rhs: Element) -> Expr:
        one, other = lhs[at], rhs[at]
        return select(one > other, one, other)

    patch.setattr(Maximum, "body", body)


def a_sign_is_lost(patch: Patch) -> None:
    def gradient(self: Divide, y: Value, dy: Value) -> Gradients:
        return dy / self.rhs, dy * y / self.rhs

    patch.setattr(Divide, "gradient", gradient)


@rewrite(Square)
def squares_grow(op: Square) -> Value | None:
    """x²  ->  x * x * 1.5, of floats"""
    return op.x * op.x * 1.5 if op.x.dtype.is_float else None


def a_rule_is_wrong(patch: Patch) -> None:
    patterns = (squares_grow, *canonicalize_module.PATTERNS)
    patch.setattr(canonicalize_module, "PATTERNS", patterns)


def programs_with(
    has: Callable[[Op], bool], families: Families, *, special: bool, most: int = 8
) -> Iterator[Program]:
    """Random programs with an operation of a kind, in the order of their seeds."""
    for seed in range(1000):
        program = random_program(seed, families, special=special, most=most)
        if any(has(node.op) for node in program.fn.nodes):
            yield program


def _steps(op: Op) -> bool:
    return isinstance(op, Slice) and any(
        step > 1 and size > 1 for step, size in zip(op.steps, op.infer().static_shape, strict=True)
    )


def _squares(op: Op) -> bool:
    return isinstance(op, Square) and op.x.dtype.is_float and 0 not in op.x.shape


BUGS = {
    "compiled": (steps_are_forgotten, _steps, FAMILIES, False),
    "given out": (numbers_win_over_nan, lambda op: isinstance(op, Maximum), LOOSE, True),
    "gradient": (a_sign_is_lost, lambda op: isinstance(op, Divide), SMOOTH, False),
    "each pass": (a_rule_is_wrong, _squares, FAMILIES, False),
}


@pytest.mark.parametrize("way", BUGS)
def test_a_bug_is_found_and_shown_in_few_lines(
    way: str, monkeypatch: Patch, tmp_path: Path
) -> None:
    plant, has, families, special = BUGS[way]
    programs = list(islice(programs_with(has, families, special=special), 4))
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path / "right"))
    assert wrong(programs[0], way, special=special) == ""
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path / "wrong"))
    plant(monkeypatch)
    with pytest.raises(AssertionError, match="made small") as caught:
        for program in programs:
            check(program, way, special=special)
    operations = [
        line
        for line in str(caught.value).splitlines()
        if line.startswith("  %") and " = constant " not in line
    ]
    assert len(operations) <= 2, str(caught.value)
