"""How many threads a process takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlir_lite.backends.llvm.machine.threads import (
    MOST_THREADS,
    available_cpus,
    cgroup_quota,
    default_threads,
)
from mlir_lite.errors import InputError


def test_the_users_number_of_threads_is_taken_as_it_is() -> None:
    many = available_cpus() + 5
    assert default_threads({"MLIR_LITE_THREADS": str(many), "OMP_NUM_THREADS": "1"}) == many


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5", "1000000"])
def test_a_wrong_number_of_threads_is_an_error(value: str) -> None:
    with pytest.raises(InputError, match=f"MLIR_LITE_THREADS.*'{value}'"):
        default_threads({"MLIR_LITE_THREADS": value})


def test_openmp_may_only_lower_the_number() -> None:
    available = available_cpus()
    assert default_threads({}) == available
    assert default_threads({"OMP_NUM_THREADS": "1,4"}) == 1
    assert default_threads({"OMP_NUM_THREADS": str(available + 5)}) == available
    assert default_threads({"OMP_NUM_THREADS": "dynamic"}) == available


def test_affinity_bounds_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for cpus, count in (({3}, 1), (set(range(5000)), MOST_THREADS)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cpus=cpus: cpus, raising=False)
        assert available_cpus() == count


@pytest.mark.parametrize(("quota", "cpus"), [(0.5, 1), (2.0, 2), (3.9, 3), (64.0, 8), (None, 8)])
def test_a_quota_counts_in_whole_cpus(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cpus: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("mlir_lite.backends.llvm.machine.threads.cgroup_quota", lambda: quota)
    assert available_cpus() == cpus


def written(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/cpu.max": "400000 100000\n",
            },
            1.5,
        ),
        # In a container: the path is the host's, the files are at the mount's root.
        (
            {
                "proc/self/cgroup": "0::/../../docker/x\n",
                "sys/fs/cgroup/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n3:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_quotas_are_read(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cgroup_quota(written(tmp_path, files)) == quota
