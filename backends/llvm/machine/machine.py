"""The machine that LLVM generates code for, and the door to llvmlite.

llvmlite is loaded on the first use of `llvm()`, because it costs more than the rest of an import.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Self

from ....errors import UnsupportedError, check

_X86 = "x86_64-unknown-linux-gnu"
_ARM = "aarch64-unknown-linux-gnu"
_NAMED = MappingProxyType(
    {
        "x86-64": (_X86, "x86-64"),
        "x86-64-v2": (_X86, "x86-64-v2"),
        "x86-64-v3": (_X86, "x86-64-v3"),
        "x86-64-v4": (_X86, "x86-64-v4"),
        "haswell": (_X86, "haswell"),
        "skylake-avx512": (_X86, "skylake-avx512"),
        "icelake-server": (_X86, "icelake-server"),
        "sapphirerapids": (_X86, "sapphirerapids"),
        "znver3": (_X86, "znver3"),
        "znver4": (_X86, "znver4"),
        "znver5": (_X86, "znver5"),
        "aarch64": (_ARM, "generic"),
        "neoverse-n1": (_ARM, "neoverse-n1"),
        "neoverse-v1": (_ARM, "neoverse-v1"),
        "neoverse-v2": (_ARM, "neoverse-v2"),
        "apple-m1": ("arm64-apple-macosx14.0.0", "apple-m1"),
    }
)


@cache
def llvm() -> Any:  # llvmlite has no type information
    """`llvmlite.binding`, with every target of the library ready."""
    import llvmlite.binding as binding  # lazy: 60 ms that a user who only builds graphs never pays

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding


def llvm_version() -> str:
    """The version of the LLVM library, such as `22.1.0`."""
    return ".".join(str(part) for part in llvm().llvm_version_info)


@dataclass(frozen=True)
class Machine:
    """What LLVM needs to know of a machine.

    `triple` names architecture, system and object format; `cpu` is LLVM's name of the processor;
    `features` is a list such as `+avx2,-avx512f`, empty where the processor's name says it all.
    """

    triple: str
    cpu: str
    features: str = ""

    @classmethod
    def host(cls) -> Self:
        """The machine this process runs on."""
        binding = llvm()
        return cls(
            triple=binding.get_process_triple(),
            cpu=binding.get_host_cpu_name(),
            features=binding.get_host_cpu_features().flatten(),
        )

    @classmethod
    def named(cls, name: str) -> Self:
        """A well-known machine, for assembly to look at or objects to run elsewhere.

        Raises `UnsupportedError` for a name not in `Machine.names()`: LLVM itself would only
        warn and generate code for the oldest processor.
        """
        check(
            name in _NAMED,
            f"no machine named '{name}'; known: {', '.join(_NAMED)}",
            UnsupportedError,
        )
        triple, cpu = _NAMED[name]
        return cls(triple=triple, cpu=cpu)

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names that `named` takes."""
        return tuple(_NAMED)

    def key_parts(self) -> dict[str, str]:
        """What decides the code that this process's LLVM makes of a text."""
        parts = {"triple": self.triple, "cpu": self.cpu, "features": self.features}
        return {**parts, "llvm": llvm_version()}

    @property
    def architecture(self) -> str:
        """The first part of the triple: `x86_64`, `aarch64`, `arm64`, ..."""
        return self.triple.partition("-")[0]

    @property
    def counter(self) -> str:
        """The intrinsic that reads a counter of constant rate. LLVM has the steady one only for
        ARM, where reading the cycles is a fault; x86's time stamp is steady, too."""
        x86 = self.architecture == "x86_64"
        return "llvm.readcyclecounter" if x86 else "llvm.readsteadycounter"
