"""List what can be compiled for: this machine, others by name, cards, what other packages add."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import plugins
from ..backends.llvm.backend import cpu_target
from ..options import OWN_KINDS
from ..plugins import clash, plug_ins
from ..target import named_target, named_targets
from ..text import table


def add_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def run(args: Namespace) -> int:
    _, machine = cpu_target("cpu")
    rows = [
        ("target", "what it is"),
        ("cpu", f"this machine, '{machine.cpu}'"),
        *((name, _figures(name)) for name in named_targets()),
        ("cuda", "the card that is here, if there is one"),
        ("reference", "the interpreter of kernels: slow and strict"),
    ]
    for found in plug_ins(plugins.BACKENDS):
        wrong = clash(found, OWN_KINDS)
        rows.append((found.name, f"not to be had: {wrong}" if wrong else f"of '{found.package}'"))
    print(table(rows, indent=""))
    return 0


def _figures(name: str) -> str:
    """What sets a target apart, for people."""
    target = named_target(name)
    assert target is not None
    if target.gpu is not None:
        return f"a card of {target.gpu.multiprocessors} multiprocessors"
    return f"vectors of {8 * target.vector_bytes} bits{', FMA' if target.has_fma else ''}"
