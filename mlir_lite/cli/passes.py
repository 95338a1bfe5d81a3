"""List the passes with their options, and the pipeline that `compile` runs."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser, Namespace

from ..passes.pipelines import PASSES, cpu_pipeline
from ..target import Target
from ..text import table


def add_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def run(args: Namespace) -> int:
    rows = [("pass", "options", "what it does")]
    for name, function in sorted(PASSES.items()):
        options = [
            entry.name if entry.default is entry.empty else f"{entry.name}={entry.default}"
            for entry in list(inspect.signature(function).parameters.values())[1:]
            if entry.name != "target"
        ]
        first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        rows.append((name, " ".join(options), first))
    print(table(rows, indent=""))
    steps = ", ".join(step.name for step in cpu_pipeline(Target("cpu")))
    print(f"\nThe pipeline `cpu`: {steps}")
    return 0
