"""Options that every program here has: numbers of threads, and rounds."""

from __future__ import annotations

from argparse import ArgumentParser

from mlir_lite.cli.model import positive


def add_rounds(parser: ArgumentParser) -> None:
    """`--threads 1,2 --repeat 7`."""
    parser.add_argument(
        "--threads", type=_counts, default=[1, 2], metavar="N,N", help="numbers of threads (1,2)"
    )
    parser.add_argument("--repeat", type=positive, default=7, metavar="N", help="rounds (7)")


def _counts(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]
