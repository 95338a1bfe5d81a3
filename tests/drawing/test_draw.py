"""`ml.draw`, and what notebooks show: texts of what is drawn, errors that say what can be."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

import mlir_lite as ml
from mlir_lite import InputError, f32, nn, train
from mlir_lite.drawing import FORMS

from .functions import HOSTILE, MAKERS, classifier, hostile


def test_a_function_is_drawn_in_three_forms(tmp_path: Path) -> None:
    drawing = ml.draw(classifier)
    assert repr(drawing) == "<Drawing of @classifier: svg, dot, mermaid>"
    assert "matmul" in drawing["mermaid"] and drawing["dot"].startswith("digraph")
    for name in ("f.svg", "f.dot", "f.mmd"):
        drawing.save(tmp_path / name)
    assert (tmp_path / "f.svg").read_text() == drawing["svg"]
    assert drawing["svg"] in drawing._repr_html_()


def test_a_step_of_training_is_drawn_as_its_function() -> None:
    sgd = train.SGD(0.1)
    step = train.step(nn.Linear(3, 2), ml.mse_loss, sgd, inputs=f32[4, 3], targets=f32[4, 2])
    assert ml.draw(step)["svg"] == ml.draw(step.function)["svg"]
    assert "→ weight" in ml.draw(step)["svg"]


def test_an_executable_is_drawn_after_the_passes() -> None:
    run = ml.compile(classifier)
    for form in FORMS:
        assert ml.draw(run)[form] == run.stages[form]
    assert "group product" in run.stages["svg"]
    assert ml.draw(run, "graph")["dot"] == ml.draw(classifier)["dot"]


def test_what_cannot_be_drawn_is_an_error(tmp_path: Path) -> None:
    run = ml.compile(classifier)
    with pytest.raises(InputError, match=r"ml\.compile gave, not Linear; write ml\.draw\(ml\.func"):
        ml.draw(nn.Linear(2, 3))  # type: ignore[arg-type]  # what the test is about
    with pytest.raises(InputError, match="no stage 'tile' to draw; there are graph, fused, plan"):
        ml.draw(run, "tile")
    with pytest.raises(InputError, match="no form 'dot' of @classifier plan; it has svg"):
        ml.draw(run, "plan")["dot"]
    with pytest.raises(InputError, match=r"a picture's suffix is \.svg"):
        ml.draw(run).save(tmp_path / "f.png")


@pytest.mark.parametrize("name", MAKERS)
def test_a_notebook_shows_the_very_text_of_a_function(name: str) -> None:
    fn = MAKERS[name]()
    shown = fn._repr_html_()
    text = re.sub(r"<[^>]*>", "", shown[shown.index("<pre>") : shown.index("</pre>")])
    assert html.unescape(text).rstrip("\n") == str(fn).replace("\x07", "\ufffd").rstrip("\n")


def test_the_mouse_finds_types_and_lines_in_regions_too() -> None:
    fn = MAKERS["lstm, fused"]()
    shown = fn._repr_html_()
    assert re.search(r'<b title="[^"]*functions\.py:\d+\ntensor&lt;8x64xf32&gt;">tanh</b>', shown)
    assert shown.count("<b ") == len(re.findall(r"^ +%[\d, %]+ = ", str(fn), re.MULTILINE))


def test_names_are_no_markup() -> None:
    fn = hostile()
    for text in (fn._repr_html_(), *(ml.draw(fn)[form] for form in ("svg", "mermaid"))):
        assert "<script" not in text and HOSTILE not in text


def test_a_notebook_shows_figures_of_an_executable() -> None:
    shown = ml.compile(classifier)._repr_html_()
    for part in ("Executable @classifier for cpu", "784x10xf32", "compiled in", "classifier"):
        assert part in shown
    assert re.search(r"@\w*matmul\w*</td><td[^>]*>[^<]*relu</td><td[^>]*>1</td>", shown)


def test_one_that_waits_for_its_sizes_says_what_it_takes() -> None:
    waiting = ml.compile(ml.function(nn.ReLU(), f32["n", 4]))
    assert "[n]x4xf32" in waiting._repr_html_()
    assert "arena" not in waiting._repr_html_()
