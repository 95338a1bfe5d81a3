"""Compile IR text or an ONNX model and print a stage of it.

  mlir-lite compile model.mlir --emit tile
  mlir-lite compile model.onnx --shape x=1x3x48x192 --target cpu:aarch64 --emit asm -o model.s
  mlir-lite compile model.onnx --shape x=1x3x48x192 --target cuda:sm_90 --emit cuda -o model.cu

The stages: `graph` as read; `report`, how each convolution is computed and how accurately; `fused`
after the passes, and as a picture `svg`, `dot` for Graphviz, `mermaid`; `tile`, the loops; `plan`,
where in the arena every buffer lies, and `plan-svg`, the picture of that. Of a CPU `llvm`;
`asm`; `object`, the machine code, which needs -o. Of a graphics card `cuda`, the kernels' source;
`cpp-host`, the same with a host part, and its weights beside it in a file `.bin`; with NVIDIA's
compiler `ptx`, its assembler, and `resources`, what registers and memory each kernel takes and how
many warps are in flight; with its disassembler `sass`, the machine code.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..backends.base import Backend
from ..backends.code_cache import default_cache
from ..backends.cuda.backend import CudaBackend
from ..backends.cuda.source.host import host_source, weights_file
from ..backends.llvm.backend import CpuBackend
from ..backends.llvm.machine.jit import compile_objects
from ..backends.llvm.machine.threads import default_threads
from ..drawing import FORMS
from ..drawing.forms import picture_text
from ..drawing.plan import plan_svg
from ..environment import dump_folder, verify_level
from ..errors import InputError, UnsupportedError
from ..ir import Function
from ..lowering import lower_for, report_for
from ..options import Options
from ..passes.lowering.lower import Lowered
from ..passes.narrowing.precisions import PRECISIONS
from ..text import bytes_text
from ..tile.program import Program
from ..tuning import Tuning, read_tuning
from .files import emit, write_atomically, write_function
from .layout import plan_text, seconds_text
from .model import add_model_arguments, load_static

STAGES = (
    "graph", "report", "fused", *FORMS, "tile", "plan", "plan-svg", "llvm", "asm", "object",
    "cuda", "cpp-host", "ptx", "sass", "resources",
)  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument(
        "--emit", choices=STAGES, help="the stage (asm, or cuda of a graphics card)"
    )
    add_compile_arguments(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="write there instead of to stdout")
    parser.add_argument("--timing", action="store_true", help="print the times on stderr")


def add_compile_arguments(parser: ArgumentParser) -> None:
    """`--target`, `--winograd`, `--strassen`, `--precision`, `--verify` and `--tune`."""
    add_target_arguments(parser)
    parser.add_argument(
        "--strassen", choices=("auto", "off"), default="off",
        help="products by constants as seven of their halves: where it pays (auto), or never",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="f32",
        help="bf16: products by constants multiply bf16 where the machine has an instruction; "
        "on cards tf32, bf16, f16: what factors of all products are rounded to",
    )  # fmt: skip
    parser.add_argument(
        "--verify", choices=("off", "structure", "each-pass"), default=None,
        help="check the IR after each pass; each-pass also compares results on sample inputs",
    )  # fmt: skip
    parser.add_argument(
        "--tune", metavar="RECORD", help="measured choices, a file that `mlir-lite tune` wrote"
    )


def add_target_arguments(parser: ArgumentParser) -> None:
    """`--target` and `--winograd`."""
    parser.add_argument(
        "--target", default="cpu",
        help="cpu (this machine), cpu:haswell, cpu:aarch64, cuda:sm_90, …",
    )  # fmt: skip
    parser.add_argument(
        "--winograd", choices=("auto", "off", "2", "4"), default="auto",
        help="for 3x3 convolutions: where it pays (auto), never, or tiles of 2 or 4",
    )  # fmt: skip


def options(args: Namespace) -> Options:
    """What the arguments of `add_compile_arguments` say."""
    return Options(
        verify=args.verify or verify_level(),
        winograd=winograd(args),
        strassen=args.strassen,
        precision=args.precision,
        dump=dump_folder(),
        tuning=Tuning() if args.tune is None else read_tuning(args.tune),
    )


def winograd(args: Namespace) -> str | int:
    return int(args.winograd) if args.winograd.isdecimal() else str(args.winograd)


def run(args: Namespace) -> int:
    fn = load_static(args).function
    if args.emit == "graph":
        _emit_function(fn, args.output)
        return 0
    if args.emit == "report":
        emit(report_for(fn, args.target, options(args)), args.output)
        return 0
    backend, fused, lowered, program, seconds = lower_for(fn, args.target, options(args))
    match args.emit or _last_stage(backend, program):
        case "fused":
            _emit_function(fused, args.output)
        case "svg" | "dot" | "mermaid" as form:
            emit(picture_text(fused, form), args.output)
        case "plan":
            emit(plan_text(program), args.output)
        case "plan-svg":
            emit(plan_svg(program), args.output)
        case "object":
            _emit_objects(machine_backend(backend), program, args.output)
        case "cpp-host":
            _emit_host(backend, lowered, program, args.output)
        case stage:
            emit(_text(backend, program, stage), args.output)
    if args.timing:
        times = ", ".join(f"{name} {seconds_text(took)}" for name, took in seconds.items())
        print(f"compiled @{fn.name} up to the plan: {times}", file=sys.stderr)
    return 0


def _last_stage(backend: Backend, program: Program) -> str:
    """What is emitted if nothing is said: machine code as text, of a card its source."""
    return "cuda" if isinstance(backend, CudaBackend) else list(backend.stage_texts(program))[-1]


def _text(backend: Backend, program: Program, stage: str) -> str:
    """The text that a backend makes of a program at a stage."""
    texts = backend.stage_texts(program)
    if stage not in texts:
        have = ", ".join(texts)
        raise UnsupportedError(f"'{backend.target.name}' has no stage '{stage}'; it has {have}")
    return texts[stage]()


def _emit_host(backend: Backend, lowered: Lowered, program: Program, output: str | None) -> None:
    """The CUDA source with its host part, and the weights beside it."""
    if not isinstance(backend, CudaBackend):
        raise UnsupportedError(f"the target '{backend.target.name}' has no host part in C++")
    source = backend.source(program)
    weights = weights_file(source, lowered.constants)
    if weights and output in (None, "-"):
        raise InputError("the weights go into a file of their own: say where, with -o OUT")
    emit(host_source(source), output)
    if weights and output is not None:
        write_atomically(Path(output).with_suffix(".bin"), weights)


def _emit_function(fn: Function, output: str | None) -> None:
    """To a file with its large constants beside it, or the text alone to stdout."""
    if output in (None, "-"):
        emit(str(fn), output)
    else:
        write_function(fn, str(fn), output)


def machine_backend(backend: Backend) -> CpuBackend:
    """The backend, if it makes machine code."""
    if not isinstance(backend, CpuBackend):
        raise UnsupportedError(f"the target '{backend.target.name}' has no machine code here")
    return backend


def _emit_objects(backend: CpuBackend, program: Program, output: str | None) -> None:
    """The object file; of several modules `x.1.o`, `x.2.o`, … where the output is `x.o`."""
    if output is None or output == "-":
        raise InputError("object files are not text: say where to write them, with -o OUT")
    modules = backend.emit(program).modules
    workers = default_threads()
    objects = compile_objects(modules, backend.machine, cache=default_cache(), workers=workers)
    path = Path(output)
    for number, code in enumerate(objects, start=1):
        name = path.name if len(objects) == 1 else f"{path.stem}.{number}{path.suffix}"
        write_atomically(path.with_name(name), code)
        print(f"{path.with_name(name)}: {bytes_text(len(code))}", file=sys.stderr)
