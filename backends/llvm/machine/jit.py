"""From LLVM text to running machine code.

`Objects` turns module texts into objects, several at a time and through the object cache;
`Library` links objects into this process; `assembly` shows what a text becomes.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from types import MappingProxyType
from typing import Any

from ....errors import PassError, RunError, VerifyError, check
from ....forks import unforked
from ....memory import return_freed
from ...code_cache import CodeCache
from .machine import Machine, llvm

# Vector code comes from our own emitters, so no pass pipeline runs. The code generator's own level
# matters: 0 gives a sixth of the speed of 2, and 3 gives nothing beyond 2.
_CODEGEN_LEVEL = 2

_OBJECT, _ASSEMBLY = 1, 0  # the kinds of LLVMPY_TargetMachineEmitToMemory


class Objects:
    """Object files of LLVM modules, compiled while others are still being written.

    A context manager: leaving it waits for what is being kept. A text found in `cache` is not
    compiled, one that occurs twice is compiled once, and the rest is shared among `workers`
    threads; where that is one, the caller itself compiles what it asks for.

    Threads do nothing but generate code: for each of the short calls that come before and after, a
    thread would wait until the caller's, busy in Python, lets go of the interpreter's lock.
    """

    def __init__(self, machine: Machine, *, cache: CodeCache | None, workers: int) -> None:
        check(workers >= 1, f"workers must be at least 1, got {workers}", ValueError)
        self._machine, self._cache, self._workers = machine, cache, workers
        self._made: dict[str, bytes] = {}
        self._waiting: deque[str] = deque()
        self._running: dict[str, tuple[_Module, Future[bytes]]] = {}
        self._executor: ThreadPoolExecutor | None = None

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=kind is not None)
        for module, _ in self._running.values():
            module.close()

    def begin(self, text: str) -> None:
        """Compile a module beside what the caller does next."""
        begun = text in self._running or text in self._waiting
        if self._workers > 1 and not begun and not self._is_made(text):
            self._waiting.append(text)
            self._advance()

    def of(self, texts: Sequence[str]) -> list[bytes]:
        """The objects of modules, in their order. Raises `VerifyError` where a text is not valid
        LLVM and `PassError` where the code generator refuses it."""
        for text in dict.fromkeys(texts):
            self.begin(text)
        while self._running:
            wait([code for _, code in self._running.values()], return_when=FIRST_COMPLETED)
            self._advance()
        for text in texts:
            if not self._is_made(text):
                self._take(text, _emit(text, self._machine, _OBJECT))
        return [self._made[text] for text in texts]

    def _advance(self) -> None:
        """Take what is compiled, and begin what waits: no more than keeps the threads busy."""
        for text, (module, code) in tuple(self._running.items()):
            if code.done():
                del self._running[text]
                module.close()
                self._take(text, code.result())
        while self._waiting and len(self._running) < 2 * self._workers:
            text = self._waiting.popleft()
            module = _Module(text, self._machine)
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._workers)
            self._running[text] = module, self._executor.submit(module.code, _OBJECT)

    def _take(self, text: str, code: bytes) -> None:
        self._made[text] = code
        if self._cache is not None:
            self._cache.put(text, self._machine, code)
        if not self._running and not self._waiting:
            return_freed()  # what LLVM took, in each thread's own part of the heap

    def _is_made(self, text: str) -> bool:
        """Whether there is the object of a text, from the cache perhaps."""
        if text not in self._made and self._cache is not None:
            stored = self._cache.get(text, self._machine)
            if stored is not None:
                self._made[text] = stored
        return text in self._made


def compile_objects(
    texts: Sequence[str], machine: Machine, *, cache: CodeCache | None, workers: int
) -> list[bytes]:
    """Compile whole LLVM modules to object files, in the order of `texts`, as `Objects` do."""
    with Objects(machine, cache=cache, workers=workers) as objects:
        return objects.of(texts)


def assembly(text: str, machine: Machine) -> str:
    """The assembly of one LLVM module. Raises like `compile_objects`."""
    with unforked():
        return _emit(text, machine, _ASSEMBLY).decode()


class _Module:
    """A text that LLVM has read and verified, in a context of its own."""

    def __init__(self, text: str, machine: Machine) -> None:
        binding = llvm()
        with ExitStack() as stack:
            context = stack.enter_context(binding.create_context())
            try:
                self._module = stack.enter_context(binding.parse_assembly(text, context))
            except RuntimeError as error:
                raise VerifyError(f"the emitted LLVM text does not parse: {error}") from error
            self._target_machine = stack.enter_context(_target_machine(machine))
            try:
                self._module.verify()
            except RuntimeError as error:
                raise VerifyError(_verifier_message(str(error), text)) from error
            self._held = stack.pop_all()

    def code(self, kind: int) -> bytes:
        """The code generated for it, once."""
        return _emit_unlocked(self._target_machine, self._module, kind)

    def close(self) -> None:
        self._held.close()


def _emit(text: str, machine: Machine, kind: int) -> bytes:
    with closing(_Module(text, machine)) as module:
        return module.code(kind)


# The parameter and result types are Any because llvmlite has no type information.
def _target_machine(machine: Machine) -> Any:
    """Position-independent, small code model: constants are addressed relative to the program
    counter and fold into vector instructions, where llvmlite's default for a JIT (the large
    model) spends a register and an instruction on every address."""
    try:
        target = llvm().Target.from_triple(machine.triple)
    except RuntimeError as error:
        raise PassError(f"LLVM has no target for '{machine.triple}': {error}") from error
    return target.create_target_machine(
        cpu=machine.cpu,
        features=machine.features,
        opt=_CODEGEN_LEVEL,
        reloc="pic",
        codemodel="small",
        jit=True,
    )


def _emit_unlocked(target_machine: Any, module: Any, kind: int) -> bytes:
    """Generate code without llvmlite's global lock.

    llvmlite serialises every call into LLVM. LLVM itself allows one thread per context, and each
    call here has its own; only this one, nearly all of the time, bypasses the lock. Should a later
    llvmlite hide the raw library, the locked call does the same, one module at a time.
    """
    ffi = llvm().ffi
    library = getattr(ffi.lib, "_lib", ffi.lib)
    with ffi.OutputString() as message:
        buffer = library.LLVMPY_TargetMachineEmitToMemory(target_machine, module, kind, message)
        if not buffer:
            raise PassError(f"LLVM cannot generate code: {message}")
    try:
        start = ffi.lib.LLVMPY_GetBufferStart(buffer)
        return ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _verifier_message(message: str, text: str) -> str:
    """LLVM's complaint, each instruction it shows followed by its line in the text."""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        lines.setdefault(line.strip(), number)
    shown = [
        f"{line}    ; line {lines[line.strip()]}" if line.strip() in lines else line
        for line in message.strip().splitlines()
    ]
    return "\n".join(["the emitted LLVM text does not verify:", *shown])


def _builtin_symbols() -> dict[str, int]:
    """What LLVM itself may call for block copies and fills.

    `memmove` also serves as `memcpy`: it promises more. ctypes knows both addresses on every
    system, so no C library has to be searched.
    """
    move = _address_of(ctypes.memmove)
    fill = _address_of(ctypes.memset)
    return {"memcpy": move, "memmove": move, "memset": fill}


def _address_of(function: Any) -> int:  # Any: ctypes' stubs type these functions as plain defs
    address = ctypes.cast(function, ctypes.c_void_p).value
    check(address, "the C library gives no address for a block function", PassError)
    return int(address or 0)


class Library:
    """Objects linked into this process, with an LLVM engine of their own.

    The code lives until `close`, or until the library is collected; whoever calls into it holds
    the library. One engine per library, because an engine never gives back all of a module.
    """

    def __init__(
        self,
        objects: Sequence[bytes],
        *,
        exports: Sequence[str],
        symbols: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Link `objects` against each other and against `symbols` (name to absolute address).

        Raises `PassError` where one of `exports` or a symbol that they need is defined nowhere;
        LLVM prints the missing names on stderr.
        """
        binding = llvm()
        engine = binding.create_lljit_compiler(use_jit_link=True)
        builder = binding.JITLibraryBuilder()
        for code in objects:
            builder.add_object_img(code)
        for name, address in (_builtin_symbols() | dict(symbols)).items():
            builder.import_symbol(name, address)
        for name in exports:
            builder.export_symbol(name)
        try:
            tracker = builder.link(engine, "library")
        except RuntimeError as error:
            engine.close()
            raise PassError(f"linking failed: {error}") from error
        self.closed = False
        self._addresses = {name: int(tracker[name]) for name in exports}
        self._finalizer = weakref.finalize(self, _unload, tracker, engine)
        # At interpreter exit threads may still run this code, and the process dies anyway.
        self._finalizer.atexit = False

    def address(self, symbol: str) -> int:
        """The address of an exported symbol. Raises `RunError` once the library is closed."""
        check(not self.closed, "this library is closed", RunError)
        check(symbol in self._addresses, f"'{symbol}' is not exported by this library", PassError)
        return self._addresses[symbol]

    def close(self) -> None:
        """Unload the code. Calling into it afterwards is a crash; `address` refuses."""
        self.closed = True
        self._finalizer()


def _unload(tracker: Any, engine: Any) -> None:
    """The tracker first: disposing of it uses the engine."""
    with unforked():
        tracker.close()
        engine.close()
