"""The figures of the machine that this process runs on: of what LLVM calls it, with the sizes of
caches that its system tells.

A row of the table is of one core, all of its neighbours idle. Those of Zen 5 and Emerald Rapids are
as measured (`mlir-lite profile` prints a machine's own), and Zen 4's arithmetic; the others follow
from clock rates and units in the vendors' optimisation manuals, and published measurements of
bandwidths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ...target import Target
from .kernels.instructions import native_instructions
from .kernels.matrices import matrix_products
from .machine.machine import Machine

_KIB, _MIB = 1 << 10, 1 << 20
_SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")

# Zen 4 has half of Zen 5's units. How it reads from memory fastest takes Zen 5 a fifth more time.
_ZEN5 = Target("cpu")
_ZEN4 = Target(
    "cpu", l1_bytes=32 * _KIB, peak_flops=130e9,
    l2_bandwidth=150e9, l3_bandwidth=75e9, memory_bandwidth=25e9, read_streams=8, followed_rows=4,
)  # fmt: skip
_SKYLAKE_SERVER = Target(
    "cpu", l1_bytes=32 * _KIB, peak_flops=150e9,
    l2_bandwidth=130e9, l3_bandwidth=25e9, memory_bandwidth=12e9, read_streams=4, asked_places=4,
)  # fmt: skip
_ICE_LAKE_SERVER = Target(
    "cpu", l2_bytes=1280 * _KIB, l3_bytes=48 * _MIB, peak_flops=165e9,
    l2_bandwidth=130e9, l3_bandwidth=25e9, memory_bandwidth=13e9, read_streams=4, asked_places=4,
)  # fmt: skip
_ICE_LAKE_CLIENT = Target(
    "cpu", l2_bytes=512 * _KIB, l3_bytes=12 * _MIB, peak_flops=130e9,
    l2_bandwidth=180e9, l3_bandwidth=60e9, memory_bandwidth=20e9, read_streams=2,
)  # fmt: skip
_SAPPHIRE_RAPIDS = Target(
    "cpu", l2_bytes=2 * _MIB, l3_bytes=64 * _MIB, peak_flops=170e9,
    l2_bandwidth=135e9, l3_bandwidth=26e9, memory_bandwidth=15e9, read_streams=4, asked_places=4,
)  # fmt: skip
_AVX2 = Target("cpu", vector_bytes=32, vector_registers=16, peak_flops=100e9, read_streams=2)
_HASWELL = Target(
    "cpu", vector_bytes=32, vector_registers=16, l1_bytes=32 * _KIB, l2_bytes=256 * _KIB,
    l3_bytes=8 * _MIB, peak_flops=100e9,
    l2_bandwidth=90e9, l3_bandwidth=40e9, memory_bandwidth=15e9, read_streams=2,
)  # fmt: skip
_ZEN3 = Target(
    "cpu", vector_bytes=32, vector_registers=16, l1_bytes=32 * _KIB, l2_bytes=512 * _KIB,
    peak_flops=110e9, l2_bandwidth=110e9, l3_bandwidth=75e9, memory_bandwidth=25e9, read_streams=2,
)  # fmt: skip

# By LLVM's names of processors.
FIGURES: Mapping[str, Target] = MappingProxyType({
    "znver5": _ZEN5,
    "znver4": _ZEN4,
    "skylake-avx512": _SKYLAKE_SERVER,
    "cascadelake": _SKYLAKE_SERVER,
    "cooperlake": _SKYLAKE_SERVER,
    "icelake-server": _ICE_LAKE_SERVER,
    "icelake-client": _ICE_LAKE_CLIENT,
    "tigerlake": _ICE_LAKE_CLIENT,
    "rocketlake": _ICE_LAKE_CLIENT,
    "sapphirerapids": _SAPPHIRE_RAPIDS,
    "emeraldrapids": _SAPPHIRE_RAPIDS,
    "graniterapids": _SAPPHIRE_RAPIDS,
    "haswell": _HASWELL,
    "broadwell": _HASWELL,
    "skylake": _HASWELL,
    "znver2": replace(_ZEN3, l3_bytes=16 * _MIB),
    "znver3": _ZEN3,
})  # fmt: skip

# Instructions that take longer than the FMAs they stand for: Intel's processors with matrix
# registers are made to multiply bf16 there. Beside these they still halve what is read.
SLOW_DOTS: Mapping[str, frozenset[str]] = MappingProxyType(
    dict.fromkeys(
        ("sapphirerapids", "emeraldrapids", "graniterapids"), frozenset({"vpdpbf16ps"})
    )
)


def host_figures(machine: Machine, caches: Path = _SYSTEM) -> Target:
    """The figures of the host; of a processor that is not in the table, usual ones for what it can
    do."""
    usual = _usual_figures(machine)
    known = FIGURES.get(machine.cpu, usual)
    # A guest may see less of a processor than it has.
    target = known if known.vector_bytes == usual.vector_bytes else usual
    instructions = native_instructions(machine) if target.has_avx512 else target.dot_instructions
    matrices = matrix_products(machine)
    if not matrices:
        instructions -= SLOW_DOTS.get(machine.cpu, frozenset())
    named = replace(
        target, cpu=machine.cpu, dot_instructions=instructions, matrix_products=matrices
    )
    return _with_caches(named, cache_sizes(caches))


def _usual_figures(machine: Machine) -> Target:
    """By what LLVM says that a processor can do."""
    features = frozenset(machine.features.split(","))
    if "+avx512f" in features:
        return _ZEN5
    if {"+avx2", "+fma"} <= features:
        return _AVX2
    wide = machine.architecture == "aarch64"
    return Target("cpu", vector_bytes=16, vector_registers=32 if wide else 16, has_fma=wide)


def _with_caches(target: Target, sizes: Mapping[int, int]) -> Target:
    """With the sizes that the system tells. A guest is told the whole last cache of its host, of
    which others have their parts: that counts up to the table's size."""
    return replace(
        target,
        l1_bytes=sizes.get(1, target.l1_bytes),
        l2_bytes=sizes.get(2, target.l2_bytes),
        l3_bytes=min(sizes.get(3, target.l3_bytes), target.l3_bytes),
    )


def cache_sizes(folder: Path = _SYSTEM) -> Mapping[int, int]:
    """The bytes of a processor's data caches by level, as Linux tells them ("ABI/testing/
    sysfs-devices-system-cpu" in the kernel's documentation); empty elsewhere."""
    found: dict[int, int] = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and level.isdecimal() and size[:-1].isdecimal():
            found[int(level)] = int(size[:-1]) * {"K": _KIB, "M": _MIB}.get(size[-1], 0)
    return {level: size for level, size in found.items() if size}
