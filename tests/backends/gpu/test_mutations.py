"""Mutations of kernels: each barrier and each wait is left out in turn, and each is missed, by the
checker or by results that change. The compiler's sanitizers see accesses out of bounds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlir_lite import Function

from .compiled import Compiled
from .examples import EXAMPLES, arrays_for
from .shim import needs_shim, sanitizer_library, unit_text
from .test_products import CASES, narrow_deep
from .test_products import arrays_for as normal

pytestmark = needs_shim

HOLDS_UP = re.compile(r"__syncthreads|__syncwarp|cp_async_wait<")
ALL = [*EXAMPLES, *(fn for fn in CASES if fn.name not in {one.name for one in EXAMPLES})]


def holding_up(compiled: Compiled) -> list[int]:
    """The lines of barriers and waits."""
    lines = unit_text(list(compiled.source.kernels.values())).splitlines()
    return [number for number, line in enumerate(lines, start=1) if HOLDS_UP.search(line)]


def missed(fn: Function, folder: Path) -> tuple[int, list[int]]:
    """How many barriers and waits there are, and which of them nobody misses."""
    compiled = Compiled.of(fn, folder, watched=True)
    arrays = arrays_for(fn) if fn in EXAMPLES else normal(fn)
    expected = [one.tobytes() for one in compiled(*arrays)]
    lines = holding_up(compiled)

    def is_missed(line: int) -> bool:
        for order in ("ascending", "descending"):
            try:
                found = compiled(*arrays, order=order, without=line)
            except AssertionError:
                return True
            if [one.tobytes() for one in found] != expected:
                return True
        return False

    return len(lines), [line for line in lines if not is_missed(line)]


def test_what_holds_up_a_deep_narrow_product_is_missed(tmp_path: Path) -> None:
    count, unnoticed = missed(narrow_deep, tmp_path)
    assert count == 4
    assert not unnoticed


@pytest.mark.slow
def test_what_holds_up_any_kernel_is_missed(tmp_path: Path) -> None:
    total, survivors = 0, []
    for fn in ALL:
        folder = tmp_path / fn.name
        folder.mkdir()
        count, unnoticed = missed(fn, folder)
        total += count
        survivors += [f"{fn.name}.cpp:{line}" for line in unnoticed]
    print(f"{total - len(survivors)} of {total} barriers and waits are missed")
    assert not survivors


@pytest.mark.slow
@pytest.mark.parametrize("file", ["test_source.py", "test_products.py", "test_memory_bound.py"])
def test_sanitizers_have_no_complaint(file: str) -> None:
    tests = Path(__file__).with_name(file)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    environment = {
        **os.environ,
        "SHIM_SANITIZES": "1",
        "LD_PRELOAD": sanitizer_library(),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    done = subprocess.run(
        [*command, "-k", "source_ and (computes or compute)"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert " passed" in done.stdout or "100%" in done.stdout
