"""What tests of `torch.compile` share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def fresh() -> Iterator[None]:
    """What torch has compiled for one test is nothing to the next; that torch runs a graph itself
    is an error."""
    compiler = pytest.importorskip("torch").compiler
    compiler.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "torch runs this graph itself", RuntimeWarning)
        yield
