"""List the passes with their options, those of other packages too, and the pipeline that `compile`
runs."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser, Namespace

from .. import plugins
from ..errors import InputError
from ..passes.pipelines import PASSES, GraphPass, cpu_pipeline
from ..plugins import PlugIn, clash, plug_ins
from ..target import Target
from ..text import table


def add_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def run(args: Namespace) -> int:
    rows = [("pass", "options", "what it does")]
    rows += [_row(name, function) for name, function in sorted(PASSES.items())]
    rows += [_plugged(each) for each in plug_ins(plugins.PASSES)]
    print(table(rows, indent=""))
    steps = ", ".join(step.name for step in cpu_pipeline(Target("cpu")))
    print(f"\nThe pipeline `cpu`: {steps}")
    return 0


def _row(name: str, function: GraphPass) -> tuple[str, str, str]:
    options = [
        entry.name if entry.default is entry.empty else f"{entry.name}={entry.default}"
        for entry in list(inspect.signature(function).parameters.values())[1:]
        if entry.name != "target"
    ]
    first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    return name, " ".join(options), first


def _plugged(found: PlugIn) -> tuple[str, str, str]:
    """The row of another package's pass, or of what is wrong with it."""
    wrong = clash(found, PASSES)
    if wrong:
        return found.name, "", f"not to be had: {wrong}"
    try:
        name, options, first = _row(found.name, found.load())
    except InputError as error:
        return found.name, "", f"not to be had: {error}"
    return name, options, f"{first} [{found.package}]"
