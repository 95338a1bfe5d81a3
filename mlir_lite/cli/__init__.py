"""The command line: `mlir-lite COMMAND …`. Each command is a module of this package.

A command's module is loaded when it is called for, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import (
    REMAINDER,
    SUPPRESS,
    Action,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType
from typing import Protocol, cast

from ..environment import start_logging
from ..errors import MlirLiteError

_LOG = logging.getLogger("mlir_lite")

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "compile a small trained network and watch every step",
        "opt": "run passes on IR text or an ONNX model, print the IR",
        "compile": "print any stage: graph, fused, tile, llvm, asm, object, plan, or draw it",
        "run": "compile, run on .npy or random inputs, print or save the results",
        "bench": "time it, alone or against another runtime",
        "profile": "show where the time goes, kernel by kernel, beside what the machine allows",
        "tune": "measure choices that the compiler predicts, keep the faster ones in a file",
        "plan": "solve a memory allocation problem given as CSV",
        "cache": "list, clear or explain the cache of machine code",
        "ops": "the operations there are",
        "passes": "the passes there are, and the pipeline",
        "targets": "what can be compiled for, those of other packages too",
        "env": "the environment variables and their values",
    }
)


class Command(Protocol):
    """What a command's module defines."""

    def add_arguments(self, parser: ArgumentParser) -> None: ...

    def run(self, args: Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Gives the exit code: 0, 1 for an error, 2 for a wrong command line."""
    name, rest = _command(sys.argv[1:] if argv is None else argv)
    try:
        start_logging()
        module = import_module(f".{name}", __name__)
        return _run(name, module.__doc__ or "", cast(Command, module), rest)
    except MlirLiteError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader (`| head`) has gone: neither an error, nor to be met again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError as error:
        return _fail(f"there is not enough memory: {error}" if str(error) else "out of memory")
    except KeyboardInterrupt:
        return 130


def _command(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The command and its arguments; prints the help and exits where there is none."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in COMMANDS.items()]
    parser = ArgumentParser(
        prog="mlir-lite",
        usage="mlir-lite COMMAND [--help] ...",
        description="A deep-learning compiler that one can read.\n\ncommands:\n" + "\n".join(lines),
        epilog="`mlir-lite COMMAND --help` shows the arguments of a command.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=SUPPRESS)
    parser.add_argument("arguments", nargs=REMAINDER, help=SUPPRESS)
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    args = parser.parse_args(argv)
    return args.command, args.arguments


class _Version(Action):
    """Asks the installed package for its version, only when it is wanted."""

    def __call__(self, parser: ArgumentParser, *_: object) -> None:
        print(f"mlir-lite {version('mlir-lite')}")
        parser.exit()


def _run(name: str, doc: str, command: Command, rest: Sequence[str]) -> int:
    parser = ArgumentParser(
        prog=f"mlir-lite {name}", description=doc, formatter_class=RawDescriptionHelpFormatter
    )
    command.add_arguments(parser)
    code = command.run(parser.parse_args(rest))
    sys.stdout.flush()
    return code


def _fail(message: str) -> int:
    """Say what is wrong on stderr; the traceback is for those who ask for it."""
    _LOG.debug("the traceback:", exc_info=True)
    print(f"mlir-lite: error: {message}", file=sys.stderr)
    return 1
