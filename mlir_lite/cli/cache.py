"""List, clear or explain the cache of machine code and compiled programs.

  mlir-lite cache list
  mlir-lite cache explain model.onnx --shape x=1x3x48x192
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from ..backends.cache_folder import CUBIN, PROGRAM, default_cache_folder
from ..backends.code_cache import CacheEntry, default_cache
from ..backends.cuda.backend import CudaBackend
from ..backends.cuda.code.cubins import Nvrtc
from ..lowering import lower_for
from ..options import Options
from ..text import bytes_text, table
from .compile import machine_backend
from .model import add_model_arguments, load_static


def add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|clear|explain")
    actions.add_parser("list", help="the entries, those used last first")
    actions.add_parser("clear", help="delete every entry")
    explain = actions.add_parser("explain", help="what of FILE is in the cache, and why not")
    add_model_arguments(explain)
    explain.add_argument("--target", default="cpu", help="cpu, cpu:haswell, cuda:sm_90, …")


def run(args: Namespace) -> int:
    match args.action:
        case "list":
            _list()
        case "clear":
            cache = default_cache()
            print(f"deleted {cache.clear()} entries of {cache.folder}")
        case "explain":
            _explain(args)
    return 0


def _list() -> None:
    cache = default_cache()
    objects, cubins = cache.list(), default_cache(CUBIN).list()
    programs = list(default_cache_folder().files(PROGRAM))
    codes = (*objects, *cubins)
    total = sum(entry.size for entry in codes) + sum(file.st_size for _, file in programs)
    print(
        f"{cache.folder}: {len(programs) + len(codes)} entries, {bytes_text(total)} "
        f"of at most {bytes_text(cache.capacity)}"
    )
    rows: list[tuple[str, ...]] = [
        (path.stem[:16], "program", bytes_text(file.st_size), _date(file.st_mtime), "", "")
        for path, file in programs
    ]
    rows += [_row("object", entry, "cpu", "llvm") for entry in objects]
    rows += [_row("cubin", entry, "architecture", "compiler") for entry in cubins]
    if rows:
        rows.sort(key=lambda row: row[3], reverse=True)
        print(table([("key", "kind", "size", "used", "for", "compiler"), *rows], right=(2,)))


def _row(kind: str, entry: CacheEntry, *parts: str) -> tuple[str, ...]:
    """A line of the list; `parts` of the key say what the code is for, and who made it."""
    size, used = bytes_text(entry.size), _date(entry.last_used)
    return entry.key[:16], kind, size, used, *(entry.parts.get(part, "") for part in parts)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _explain(args: Namespace) -> None:
    fn = load_static(args).function
    backend, _, _, program, _ = lower_for(fn, args.target, Options())
    if isinstance(backend, CudaBackend):
        gpu = backend.target.gpu
        assert gpu is not None
        source = backend.source(program).code
        print(default_cache(CUBIN).explain(source, Nvrtc(gpu.architecture)))
        return
    cache, cpu = default_cache(), machine_backend(backend)
    modules = cpu.emit(program).modules
    for number, text in enumerate(modules, start=1):
        print(f"module {number} of {len(modules)}: {cache.explain(text, cpu.machine)}")
