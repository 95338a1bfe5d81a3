"""The docstring of each package of schedules is a map of it: it names every file."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

SCHEDULE = (
    *("schedule", "schedule.cost", "schedule.products", "schedule.gpu", "schedule.gpu.attention"),
    *("schedule.gpu.attention_gradients", "schedule.gpu.block", "schedule.gpu.products"),
    "schedule.gpu.rows",
)


@pytest.mark.parametrize("name", (*SCHEDULE, "program"))
def test_the_map_of_a_package_names_every_file(name: str) -> None:
    package = import_module(f"mlir_lite.passes.{name}")
    parts = pkgutil.iter_modules(package.__path__)
    files = [part.name + ("/" if part.ispkg else ".py") for part in parts]
    missing = [file for file in files if file not in (package.__doc__ or "")]
    assert not missing, f"the docstring of {name} does not say what these are for"
