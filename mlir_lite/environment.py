"""The environment variables, all with the prefix `MLIR_LITE_`, and what they are set to.

Each is also an argument in code, which comes first. `mlir-lite env` lists them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from .errors import InputError, check

Verify: TypeAlias = Literal["off", "structure", "each-pass"]

_LOG = logging.getLogger("mlir_lite")
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Variable:
    """A variable: its name, what is taken when it is not set, and what it means."""

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable(
        "MLIR_LITE_LOG",
        "warning",
        "how much is logged on stderr: debug, info, warning or error; debug shows tracebacks",
    ),
    Variable(
        "MLIR_LITE_DUMP",
        "no dumps",
        "a folder: every compilation writes into it the IR after each pass, numbered",
    ),
    Variable(
        "MLIR_LITE_VERIFY",
        "structure",
        "what is checked after each pass: off, structure, or each-pass (results, too)",
    ),
    Variable("MLIR_LITE_THREADS", "the CPUs this process may use", "threads of an executable"),
    Variable(
        "MLIR_LITE_CACHE_DIR",
        "mlir-lite in the user's cache folder",
        "where compiled programs are kept between runs",
    ),
)


def dump_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of `MLIR_LITE_DUMP`, or None."""
    chosen = environment.get("MLIR_LITE_DUMP")
    return Path(chosen) if chosen else None


def verify_level(environment: Mapping[str, str] = os.environ) -> Verify:
    """`MLIR_LITE_VERIFY`; `InputError` for a level there is not."""
    return named_level(environment.get("MLIR_LITE_VERIFY") or "structure", "MLIR_LITE_VERIFY")


def named_level(level: str, what: str = "verify") -> Verify:
    """A level of verification by its name; `InputError` for one there is not."""
    match level:
        case "off":
            return "off"
        case "structure":
            return "structure"
        case "each-pass":
            return "each-pass"
    raise InputError(f"{what} must be off, structure or each-pass, got '{level}'")


def start_logging(environment: Mapping[str, str] = os.environ) -> None:
    """Log on stderr as `MLIR_LITE_LOG` says; nothing is touched where it is not set.

    `InputError` for a level there is not.
    """
    level = environment.get("MLIR_LITE_LOG")
    if not level:
        return
    message = f"MLIR_LITE_LOG must be one of {', '.join(_LEVELS)}, got '{level}'"
    check(level.lower() in _LEVELS, message, InputError)
    _LOG.setLevel(level.upper())
    if not _LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("mlir-lite: %(levelname)s: %(message)s"))
        _LOG.addHandler(handler)
