"""Machine code of cards, kept between runs in the folder where that of the CPU is."""

from __future__ import annotations

from dataclasses import dataclass

from ...cache_folder import CUBIN
from ...code_cache import default_cache
from .nvrtc import Binary, compile_source, compiler_version


@dataclass(frozen=True)
class Nvrtc:
    """NVIDIA's compiler, for one architecture."""

    architecture: str

    def key_parts(self) -> dict[str, str]:
        return {"architecture": self.architecture, "compiler": compiler_version()}


def kept_binary(source: str, architecture: str) -> Binary:
    """The machine code of a source, compiled if it is not kept. Errors as `compile_source`."""
    cache, compiler = default_cache(CUBIN), Nvrtc(architecture)
    stored = cache.get(source, compiler)
    if stored is not None:
        log, _, code = stored.partition(b"\0")
        return Binary(code, log.decode())
    made = compile_source(source, architecture)
    cache.put(source, compiler, made.log.replace("\0", "").encode() + b"\0" + made.code)
    return made
