"""How many threads a process may use: what the user asks for, affinity, and cgroup quota."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

from ....errors import InputError, check

MOST_THREADS = 1024  # each has a stack and a place in every barrier


def check_threads(count: int) -> None:
    """`InputError` for a number of threads that nobody can mean."""
    message = f"threads is a number from 1 to {MOST_THREADS}, not {count!r}"
    check(isinstance(count, Integral) and 1 <= count <= MOST_THREADS, message, InputError)


def default_threads(environment: Mapping[str, str] = os.environ) -> int:
    """`MLIR_LITE_THREADS` as it is; else `OMP_NUM_THREADS`, but no more than there are CPUs.

    Raises `InputError` where `MLIR_LITE_THREADS` is not a positive number. A value of
    `OMP_NUM_THREADS` that cannot be read is another library's business and is passed over.
    """
    chosen = environment.get("MLIR_LITE_THREADS")
    if chosen:
        valid = chosen.strip().isdecimal() and 1 <= int(chosen) <= MOST_THREADS
        message = f"MLIR_LITE_THREADS must be a number from 1 to {MOST_THREADS}, got '{chosen}'"
        check(valid, message, InputError)
        return int(chosen)
    available = available_cpus()
    # One number per level of nesting, such as "4,2": the first is the outermost.
    outermost = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if outermost.isdecimal() and int(outermost) >= 1:
        return min(int(outermost), available)
    return available


def available_cpus() -> int:
    """CPUs this process may keep busy: affinity, cut to whole CPUs of the cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = cgroup_quota()
    # Rounded down: with a thread more than the quota the kernel stops all of them in mid-kernel.
    return min(MOST_THREADS, allowed if quota is None else max(1, min(allowed, int(quota))))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The tightest CPU quota over the process's cgroup and its ancestors, in CPUs; None if unset.

    Reads `cpu.max` (cgroup v2) and `cpu.cfs_quota_us` / `cpu.cfs_period_us` (v1), see
    "CPU bandwidth control" in the kernel's documentation. In a container the path in
    `/proc/self/cgroup` may name the host's hierarchy; its mount root is looked at in any case.
    """
    quotas: list[float] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += _quotas_v2(root / "sys/fs/cgroup", path)
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys(("cpu", controllers)):
                quotas += _quotas_v1(root / "sys/fs/cgroup" / mount, path)
    return min(quotas, default=None)


def _quotas_v2(mount: Path, path: str) -> list[float]:
    quotas = []
    for folder in _with_ancestors(mount, path):
        fields = _read(folder / "cpu.max").split()
        if len(fields) == 2 and fields[0] != "max":
            quotas.append(int(fields[0]) / int(fields[1]))
    return quotas


def _quotas_v1(mount: Path, path: str) -> list[float]:
    quotas = []
    for folder in _with_ancestors(mount, path):
        quota = _read(folder / "cpu.cfs_quota_us").strip()
        period = _read(folder / "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:  # -1: no quota
            quotas.append(int(quota) / int(period))
    return quotas


def _with_ancestors(mount: Path, path: str) -> list[Path]:
    names = [name for name in path.split("/") if name and name != ".."]
    return [mount.joinpath(*names[:depth]) for depth in range(len(names), -1, -1)]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
