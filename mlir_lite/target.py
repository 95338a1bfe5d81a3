"""What the compiler knows of a machine: figures that passes and recipes choose by."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import UnsupportedError
from .tuning import Chooser, Tuning
from .types import DType


@dataclass(frozen=True)
class Target:
    """A target's figures. Bytes for sizes; `peak_flops` and bandwidths per core and second."""

    name: str  # as the user spells it: "cpu", "cpu:haswell"
    cpu: str = ""  # LLVM's name; empty for the host's
    vector_bytes: int = 64
    vector_registers: int = 32
    has_fma: bool = True
    l1_bytes: int = 48 << 10
    l2_bytes: int = 1 << 20
    l3_bytes: int = 32 << 20
    peak_flops: float = 265e9
    memory_bandwidth: float = 40e9
    threads: int = 1
    dot_instructions: frozenset[str] = frozenset()  # of `tile/instructions.py`
    tuning: Chooser = Tuning()  # answers that come before those of the cost model

    @property
    def has_avx512(self) -> bool:
        """Whether vectors are those of AVX-512, with its masks."""
        return self.vector_bytes == 64

    def lanes(self, dtype: DType) -> int:
        """Elements of this type in one vector register."""
        return max(1, self.vector_bytes // dtype.bytes)


_NAMED = {
    "avx512": Target("cpu:avx512"),
    "sapphirerapids": Target(
        "cpu:sapphirerapids",
        "sapphirerapids",
        l2_bytes=2 << 20,
        dot_instructions=frozenset({"vpdpbusd", "vpdpbf16ps"}),
    ),
    "haswell": Target("cpu:haswell", "haswell", 32, 16, peak_flops=100e9, l2_bytes=256 << 10),
    "x86-64": Target("cpu:x86-64", "x86-64", 16, 16, has_fma=False, peak_flops=25e9),
    "aarch64": Target("cpu:aarch64", "generic", 16, 32, peak_flops=50e9, l1_bytes=64 << 10),
}


def named_target(name: str) -> Target | None:
    """The figures of `cpu:NAME`; None for plain `cpu`, whose figures the backend asks the host."""
    kind, _, model = name.partition(":")
    if kind != "cpu":
        raise UnsupportedError(f"no backend for the target '{name}'; there is 'cpu'")
    if not model:
        return None
    if model not in _NAMED:
        have = ", ".join(f"cpu:{known}" for known in _NAMED)
        raise UnsupportedError(f"unknown target '{name}'; known are cpu, {have}")
    return _NAMED[model]
