"""The backend suite of the package onnx against the table of what does not pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from .suite import Case, cases, is_t1

TABLE = Path(__file__).with_name("suite_table.json")


@pytest.fixture(scope="module")
def t1() -> list[Case]:
    return list(cases(is_t1))


def test_the_suite_has_not_shrunk(t1: list[Case]) -> None:
    assert len(t1) >= 500


def test_only_the_cases_of_the_table_fail(t1: list[Case]) -> None:
    known: dict[str, str] = json.loads(TABLE.read_text())
    failures = {case.name: why for case in t1 if (why := case.failure())}
    # Another release of the package may lack cases of the table, or have more.
    present = {case.name for case in t1}
    assert failures == {name: why for name, why in known.items() if name in present}


def test_a_wrong_runner_is_caught(t1: list[Case]) -> None:
    """The comparison itself: a runner that doubles what it computes fails nearly everywhere."""
    from mlir_lite.frontends.onnx_backend import interpret

    sample = [case for case in t1 if case.name.startswith("test_reduce_mean")]
    assert sample
    for case in sample:
        assert case.failure(lambda fn, inputs: [2 * x for x in interpret(fn, inputs)])
