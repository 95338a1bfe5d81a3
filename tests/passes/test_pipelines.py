"""Pipelines: the table of passes, and pipelines as text."""

from __future__ import annotations

import re

import pytest

import mlir_lite as ml
from mlir_lite import InputError, f32
from mlir_lite.passes import pipelines
from mlir_lite.passes.pipelines import PASSES, Step, cpu_pipeline, cuda_pipeline, parse_pipeline
from mlir_lite.target import Target

TARGET = Target("cpu:test")


def test_text_gives_steps_with_options() -> None:
    text = "canonicalize{fuel=3}, constant-fold , decompose{keep=softmax}"
    assert parse_pipeline(text, TARGET) == (
        Step("canonicalize", {"fuel": 3}),
        Step("constant-fold"),
        Step("decompose", {"keep": "softmax"}),
    )
    assert parse_pipeline("", TARGET) == ()


def test_passes_that_want_a_target_get_it() -> None:
    (step,) = parse_pipeline("pack-constants", TARGET)
    assert step.options == {"target": TARGET}


def test_the_cpu_pipeline_is_read_back_from_its_text() -> None:
    steps = cpu_pipeline(TARGET)
    assert parse_pipeline(",".join(map(str, steps)), TARGET) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("canonicalise", "there is no pass 'canonicalise'; there are attention, autodiff, "),
        ("fuse{depth=3}", "'fuse' has no option depth"),
        ("canonicalize{fuel}", "the option 'fuel' has no value"),
        ("fuse fuse", "'fuse fuse' is no pass of a pipeline such as a,b{x=1},c"),
        ("fuse,{x=1}", "'{x=1}' is no pass of a pipeline"),
    ],
)
def test_what_is_wrong_in_a_text_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse_pipeline(text, TARGET)


def test_the_module_tells_what_every_pass_does() -> None:
    documented = re.findall(r"^    ([a-z-]+)  ", pipelines.__doc__ or "", re.MULTILINE)
    assert sorted(documented) == sorted(PASSES)
    steps = (*cpu_pipeline(TARGET, precision="bf16"), *cuda_pipeline(TARGET))
    assert {step.name for step in steps} == set(documented) - {"autodiff"}


def test_every_pass_takes_a_function_as_it_is() -> None:
    """A pass that finds nothing to do gives the function back, printed the same."""
    fn = ml.function(f32[2, 3])(ml.relu)
    names = [name for name in PASSES if name != "autodiff"]  # gives another function
    for step in parse_pipeline(",".join(names), TARGET):
        assert str(step.run(fn)) == str(fn), step.name
