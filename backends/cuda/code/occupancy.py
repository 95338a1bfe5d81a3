"""What kernels take of a multiprocessor, and so how many warps of them it keeps in flight, which is
what hides latencies.

The rules are those of NVIDIA's programming guide, "Multiprocessor level" and "Technical
specifications per compute capability".
"""

from __future__ import annotations

from collections.abc import Mapping

from ....sizes import round_up
from ....target import Gpu
from .nvrtc import Usage

_REGISTERS = 65536  # of a multiprocessor
_REGISTERS_AT_ONCE = 256  # that are given to a warp
_WARPS_AT_ONCE = 4  # that registers are given to: one for each part of a multiprocessor
_SHARED_OF_SYSTEM = 1024  # bytes of each block that are not its own
_SHARED_AT_ONCE = 128


def blocks_in_flight(usage: Usage, threads: int, gpu: Gpu) -> int:
    """Blocks of so many threads that a multiprocessor has room for."""
    warps = -(-threads // gpu.warp)
    registers = round_up(usage.registers * gpu.warp, _REGISTERS_AT_ONCE)
    warps_by_registers = _REGISTERS // max(1, registers) // _WARPS_AT_ONCE * _WARPS_AT_ONCE
    shared = round_up(usage.shared_bytes + _SHARED_OF_SYSTEM, _SHARED_AT_ONCE)
    return min(
        gpu.blocks,
        gpu.threads // gpu.warp // warps,
        warps_by_registers // warps,
        (gpu.shared_bytes + _SHARED_OF_SYSTEM) // shared,
    )


def occupancy(usage: Usage, threads: int, gpu: Gpu) -> float:
    """The share of the warps that a multiprocessor can keep in flight."""
    warps = -(-threads // gpu.warp)
    return blocks_in_flight(usage, threads, gpu) * warps / (gpu.threads // gpu.warp)


def resources_text(usage: Mapping[str, Usage], threads: Mapping[str, int], gpu: Gpu) -> str:
    """What each kernel of blocks of so many `threads` takes, as a table."""
    lines = [f"{'kernel':40} {'registers':>9} {'shared':>7} {'spilled':>7} {'occupancy':>9}"]
    for name, taken in usage.items():
        numbers = f"{taken.registers:9} {taken.shared_bytes:7} {taken.spilled_bytes:7}"
        lines.append(f"{name:40} {numbers} {occupancy(taken, threads[name], gpu):9.0%}")
    return "\n".join(lines) + "\n"
