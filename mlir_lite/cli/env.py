"""List the environment variables, what they are set to, and what they mean."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from ..environment import VARIABLES
from ..text import table


def add_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def run(args: Namespace) -> int:
    rows = [("variable", "value", "meaning")]
    for variable in VARIABLES:
        value = os.environ.get(variable.name) or f"not set: {variable.default}"
        rows.append((variable.name, value, variable.meaning))
    print(table(rows, indent=""))
    return 0
