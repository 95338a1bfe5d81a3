"""Run passes on IR text or an ONNX model and print the IR.

  mlir-lite opt model.mlir --passes canonicalize,fuse
  mlir-lite opt model.onnx --passes cpu --shape x=1x3x48x192 --timing
  mlir-lite opt model.mlir --passes cpu --print-ir-tree-dir dumps
  mlir-lite opt model.mlir --passes canonicalize --emit svg -o model.svg
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..backends.llvm.backend import cpu_target
from ..drawing import FORMS
from ..drawing.forms import picture_text
from ..environment import verify_level
from ..errors import InputError, check
from ..ir import Function
from ..ir.printer import print_function
from ..ir.verify import verify
from ..passes.dump import DumpFolder, new_folder
from ..passes.manager import Record, run_passes
from ..passes.pipelines import Step, parse_pipeline
from ..text import table
from .files import emit, functions_of, read_text, write_function
from .layout import elided, seconds_text
from .model import add_model_arguments, load_model, pairs, require_static, specialised

_SPLIT = "// -----"


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    add = parser.add_argument
    add(
        "--passes", "--pass-pipeline", default="", metavar="LIST",
        help="passes in order, with options: a,b{x=1},c; `cpu` is the whole pipeline",
    )  # fmt: skip
    add("--target", default="cpu", help="whose figures passes ask for: cpu, cpu:haswell, …")
    add(
        "--verify", choices=("off", "structure", "each-pass"), default=None,
        help="check the IR after each pass; each-pass also compares results on sample inputs",
    )  # fmt: skip
    add("--generic", action="store_true", help="print MLIR's generic form")
    add("--emit", choices=FORMS, help="draw the function after the passes, instead of its text")
    add("--elide", action="store_true", help="leave out the elements of constants, for reading")
    add("--locations", action="store_true", help="print locations so that they are read back")
    add(
        "--dump-after-all", "--print-ir-after-all", dest="dump_all", action="store_true",
        help="print the IR on stderr after each pass",
    )  # fmt: skip
    add(
        "--print-ir-after-change", dest="dump_changes", action="store_true",
        help="print the IR on stderr after each pass that changed it",
    )  # fmt: skip
    add(
        "--print-ir-tree-dir", dest="tree", metavar="DIR", type=Path,
        help="write a numbered file for the IR after each pass into DIR/FUNCTION",
    )  # fmt: skip
    add("--timing", action="store_true", help="print each pass's time and changes on stderr")
    add(
        "--split-input-file", action="store_true",
        help=f"treat the parts between lines `{_SPLIT}`, and functions in one part, one by one",
    )  # fmt: skip
    add("-o", "--output", metavar="OUT", help="write there, with the named constants beside it")


def run(args: Namespace) -> int:
    steps = _steps(args.passes, args.target)
    done = [_optimise(fn, steps, args) for fn in _functions(args)]
    texts = [_text(fn, args) for fn in done]
    if len(done) == 1 and args.output not in (None, "-") and args.emit is None:
        write_function(done[0], texts[0], args.output)
    else:
        emit(f"{_SPLIT}\n".join(texts), args.output)
    return 0


def _text(fn: Function, args: Namespace) -> str:
    if args.emit is not None:
        return picture_text(fn, args.emit)
    text = fn.generic() if args.generic else print_function(fn, locations=args.locations)
    return f"{elided(text)}\n" if args.elide else text


def _steps(text: str, target: str) -> tuple[Step, ...]:
    figures, _ = cpu_target(target)
    return parse_pipeline(text, figures)


def _functions(args: Namespace) -> Iterator[Function]:
    sizes, values = pairs(args.shape, "--shape"), pairs(args.value, "--value")
    if not args.split_input_file:
        yield load_model(args.file, sizes, values).function
        return
    check(
        not args.file.endswith(".onnx"),
        "--split-input-file is for IR text; an .onnx file is one function",
        InputError,
    )
    for part in _parts(read_text(args.file)):
        for fn in functions_of(part, args.file):
            yield specialised(fn, sizes, values).function


def _parts(text: str) -> Iterator[str]:
    """The parts between split lines, each behind as many empty lines as stand before it."""
    before, lines = 0, text.split("\n")
    start = 0
    for number, line in enumerate([*lines, _SPLIT]):
        if line.strip() == _SPLIT:
            part = "\n".join(lines[start:number])
            if part.strip():
                yield "\n" * before + part
            start = before = number + 1


def _optimise(fn: Function, steps: tuple[Step, ...], args: Namespace) -> Function:
    level = args.verify or verify_level()
    if level != "off":
        verify(fn)
    if any(step.name == "fuse" for step in steps) or level == "each-pass":
        require_static(fn)
    watch = _Watch(fn, args)
    done = run_passes(fn, steps, verify=level, observe=watch)
    if args.timing:
        print(watch.timing(), file=sys.stderr)
    return done


@dataclass
class _Watch:
    """Prints, dumps and times what the passes do to a function."""

    fn: Function
    args: Namespace
    rows: list[tuple[str, ...]] = field(default_factory=list)
    total: float = 0.0
    before: str = ""
    folder: DumpFolder | None = None

    def __post_init__(self) -> None:
        if self.args.tree is not None:
            self.folder = DumpFolder(new_folder(self.args.tree, self.fn.name))
            self.folder.function("input", self.fn)
        if self.args.dump_changes:
            self.before = str(self.fn)

    def __call__(self, record: Record, fn: Function) -> None:
        self.total += record.seconds
        self.rows.append((record.name, seconds_text(record.seconds), record.summary()))
        if self.folder is not None:
            self.folder(record, fn)
        if not (self.args.dump_all or self.args.dump_changes):
            return
        text = str(fn)
        if self.args.dump_all or text != self.before:
            head = f"// -----// IR Dump After {record.name} (@{fn.name}) //----- //"
            print(f"{head}\n{text}", file=sys.stderr)
        self.before = text

    def timing(self) -> str:
        rows = [("pass", "time", "operations"), *self.rows]
        rows.append(("total", seconds_text(self.total), ""))
        return f"passes on @{self.fn.name}\n{table(rows, right=(1,))}"
