"""NVIDIA's run-time compiler: CUDA source to the card's machine code. It needs no card, no driver
and no toolkit: `pip install 'mlir-lite[cuda]'`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from ....errors import RunError, UnsupportedError, check

_USAGE = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Usage:
    """What a kernel takes of a multiprocessor: registers a thread, shared bytes a block, and the
    bytes of registers that did not fit and went to memory."""

    registers: int
    shared_bytes: int
    spilled_bytes: int


@dataclass(frozen=True)
class Binary:
    """Machine code of a source's kernels."""

    code: bytes
    log: str

    @cached_property
    def usage(self) -> Mapping[str, Usage]:
        """By the names of the kernels, as the assembler reports it."""
        found: dict[str, Usage] = {}
        for match in _USAGE.finditer(self.log):
            shared = re.search(r"(\d+) bytes smem", match["rest"])
            spilled = int(match["stores"]) + int(match["loads"])
            bytes_ = int(shared[1]) if shared else 0
            found[match["name"]] = Usage(int(match["registers"]), bytes_, spilled)
        return found

    @property
    def spilling(self) -> Sequence[str]:
        """The kernels that keep registers in memory."""
        return [name for name, usage in self.usage.items() if usage.spilled_bytes]

    def usage_with(self, asked: Mapping[str, int]) -> Mapping[str, Usage]:
        """The same with the shared memory that launches ask for."""
        return {
            name: replace(usage, shared_bytes=usage.shared_bytes + asked[name])
            for name, usage in self.usage.items()
        }


def compile_source(source: str, architecture: str, *, strict: bool = False) -> Binary:
    """The machine code for `sm_90`, `sm_90a` and the like. The compiler spills a few bytes where it
    can have more blocks at once for that than anybody asked for: kernels of which it did are told
    that one is enough. `strict` makes warnings errors, and registers spilled.

    `UnsupportedError` where the compiler is not installed, `RunError` with its words where it
    refuses the source.
    """
    made = _compiled(source, architecture, strict)
    if made.spilling:
        made = _compiled(_for_one_block(source, made.spilling), architecture, strict)
    words = f"registers are spilled: {made.log}"
    check(not (strict and made.spilling), words, RunError)
    return made


def _for_one_block(source: str, kernels: Sequence[str]) -> str:
    """A source in which some kernels need not share a multiprocessor with others."""
    names = "|".join(map(re.escape, kernels))
    return re.sub(rf"(__launch_bounds__\(\d+)(?=\)\s+(?:{names})\()", r"\1, 1", source)


def _compiled(source: str, architecture: str, strict: bool) -> Binary:
    """The machine code of a source as it stands."""
    _load_compiler()
    from cuda.core import Program, ProgramOptions

    log = io.StringIO()
    options = ProgramOptions(
        arch=architecture,
        std="c++17",
        ptxas_options=["-v", *(["-Werror"] if strict else [])],
    )
    try:
        made = Program(source, "c++", options).compile("cubin", logs=log)
    except Exception as error:  # the binding has an error class per version
        words = f"{error}\n{log.getvalue()}"
        raise RunError(f"the CUDA compiler refuses the source: {words}") from error
    return Binary(bytes(made.code), log.getvalue())


def compiler_version() -> str:
    """The version of the compiler, such as `13.5`, and of its package where it comes in one."""
    _load_compiler()
    from cuda.bindings import nvrtc

    _, major, minor = nvrtc.nvrtcVersion()
    try:
        return f"{major}.{minor} ({version('nvidia-cuda-nvrtc')})"
    except PackageNotFoundError:
        return f"{major}.{minor}"


def _load_compiler() -> None:
    """Find the compiler's library; `UnsupportedError` where it is not installed."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        load_nvidia_dynamic_lib("nvrtc")
        import_module("cuda.core")
    except (ImportError, RuntimeError) as error:
        raise UnsupportedError(
            "NVIDIA's compiler is not installed: pip install 'mlir-lite[cuda]'"
        ) from error


def ptx_text(source: str, architecture: str) -> str:
    """The source as NVIDIA's portable assembler, for `sm_90` and later cards; for `sm_90a` only.

    Errors as `compile_source`. (`cuda.core` would ask the driver, which need not be there.)
    """
    _load_compiler()
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"model.cu", 0, [], [])
    virtual = architecture.replace("sm_", "compute_")
    options = [f"--gpu-architecture={virtual}".encode(), b"--std=c++17"]
    (failed,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    size, fetch = nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX
    if int(failed):
        size, fetch = nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog
    # A buffer of one byte would be one that Python shares: never ask for less than two.
    text = b" " * max(2, size(program)[1])
    fetch(program, text)
    nvrtc.nvrtcDestroyProgram(program)
    words: str = text.rstrip(b" \0").decode()
    check(not int(failed), f"the CUDA compiler refuses the source: {words}", RunError)
    return words
