"""The picture of a memory plan: each buffer where it lies, none over another."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.drawing.plan import plan_svg
from mlir_lite.lowering import lower_for
from mlir_lite.options import Options
from mlir_lite.tile.program import Program, Role

from .functions import MAKERS

TAG = "{http://www.w3.org/2000/svg}"


def program(name: str) -> Program:
    return lower_for(MAKERS[name](), "cpu:avx512", Options())[3]


@pytest.mark.parametrize("name", ["digits", "lstm", "transformer", "loops", "fans out"])
def test_every_buffer_is_drawn_and_none_over_another(name: str) -> None:
    planned = program(name)
    root = ElementTree.fromstring(plan_svg(planned))
    drawn: dict[str, tuple[float, float, float, float]] = {}
    for group in root.iter(f"{TAG}g"):
        title, rect = group.find(f"{TAG}title"), group.find(f"{TAG}rect")
        assert title is not None and title.text is not None and rect is not None
        x, y, width, height = (
            float(rect.get(side, "")) for side in ("x", "y", "width", "height")
        )
        drawn[title.text.partition(":")[0]] = x, y, x + width, y + height
    assert drawn.keys() == {
        f"%{slot.name}" for slot in planned.slots if slot.role is Role.ARENA
    }
    slack = 0.75  # of a point: the least that is drawn, and tenths
    for (one, a), (other, b) in combinations(drawn.items(), 2):
        apart = (
            a[2] <= b[0] + slack or b[2] <= a[0] + slack
            or a[3] <= b[1] + slack or b[3] <= a[1] + slack
        )  # fmt: skip
        assert apart, (one, other)


def test_its_title_says_how_near_to_the_least_it_is() -> None:
    text = plan_svg(program("digits"))
    assert re.search(r"@digits: an arena of [\d.]+ KiB, 1\.000 times the lower bound", text)


def test_a_program_without_buffers_says_so() -> None:
    @ml.function(f32[8])
    def one(x: Value) -> Value:
        return ml.exp(x)

    assert "nothing lies between kernels" in ml.draw(ml.compile(one), "plan")["svg"]
