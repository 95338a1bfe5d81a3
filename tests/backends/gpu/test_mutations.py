"""Mutations of kernels: each barrier and each wait is left out in turn, and each is missed, by the
checker or by results that change. The compiler's sanitizers see accesses out of bounds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlir_lite import Function, bf16, f32
from mlir_lite.target import Target
from mlir_lite.types import Array, DType

from . import examples
from .compiled import Compiled, card
from .schedule import test_columns, test_memory_bound, test_ordered, test_rows
from .schedule import test_convolutions as convolutions
from .schedule import test_linear_algebra as algebra
from .schedule import test_products as products
from .schedule.test_attention import Case
from .schedule.test_attention import arrays_for as attention_arrays
from .schedule.test_attention_gradients import gradients_of
from .shim import needs_shim, sanitizer_library, unit_text

pytestmark = needs_shim

HOLDS_UP = re.compile(r"__syncthreads|__syncwarp|cp_async_wait<")


@dataclass(frozen=True)
class Subject:
    """A function whose kernels are mutated, with what it is called with."""

    fn: Function
    arrays_for: Callable[[Function], list[Array]]
    target: Target = field(default_factory=card)
    winograd: str | int = "off"

    @property
    def name(self) -> str:
        return f"{self.fn.name}_{self.winograd}"


def attended(dtype: DType, *, gradients: bool = False) -> Subject:
    """Causal attention over several blocks, or its gradients."""
    rows, keys = (150, 200) if dtype == bf16 else (70, 96)
    case = Case((rows, 16), (keys, 16), 16, dtype, causal=True)
    return Subject(gradients_of(case) if gradients else case.function(), attention_arrays)


def subjects(
    arrays_for: Callable[[Function], list[Array]], *fns: Function, **more: Any
) -> tuple[Subject, ...]:
    return tuple(Subject(fn, arrays_for, **more) for fn in fns)


# One of each template, and how many barriers and waits its kernels have.
TEMPLATES = {
    "product": (Subject(products.narrow_deep, products.arrays_for), 4),
    "direct convolution": (Subject(convolutions.layer(3, 1), convolutions.arrays_for), 4),
    "narrow convolution": (Subject(convolutions.first_layer, convolutions.arrays_for), 3),
    "winograd": (Subject(convolutions.block, convolutions.arrays_for, winograd=2), 2),
    "attention": (attended(bf16), 6),
    "attention by lanes": (attended(f32), 6),
    "transpose": (Subject(test_memory_bound.turned_halves, test_memory_bound.arrays_for), 1),
    "scatter": (Subject(test_ordered.histogram, test_ordered.arrays_for), 3),
    "running totals": (
        Subject(test_ordered.long_totals, test_ordered.arrays_for, card(threads=64)), 8
    ),
    "columns": (Subject(test_columns.means, test_columns.arrays_for), 1),
    "rows": (Subject(test_rows.softmax, test_rows.arrays_for), 2),
    "sums in a block": (Subject(test_rows.variances_in_a_block, test_rows.arrays_for), 4),
    "cholesky": (Subject(algebra.factored, algebra.arrays_for), 3),
    "elimination": (Subject(algebra.solved_by_few, algebra.arrays_for), 11),
    "reflections": (Subject(algebra.reduced, algebra.arrays_for), 8),
    "eigenvalues": (Subject(algebra.diagonalised_specially, algebra.arrays_for), 7),
    "singular values": (Subject(algebra.decomposed_specially, algebra.arrays_for), 11),
}
ALL = (
    *subjects(examples.arrays_for, *examples.EXAMPLES),
    *subjects(products.arrays_for, *products.CASES),
    *subjects(convolutions.arrays_for, convolutions.block, winograd=2),
    *subjects(convolutions.arrays_for, convolutions.block, winograd=4),
    *subjects(
        convolutions.arrays_for,
        convolutions.block, convolutions.first_layer, convolutions.layer(3, 1),
        convolutions.layer(5, 32), *convolutions.WINDOWS, *convolutions.GRADIENTS,
    ),
    *subjects(
        test_memory_bound.arrays_for,
        *test_memory_bound.TURNED, *test_memory_bound.TURNED_WIDE, *test_memory_bound.LONG,
    ),
    *subjects(test_ordered.arrays_for, *test_ordered.SCATTERS, *test_ordered.RUNNING),
    *subjects(test_ordered.arrays_for, test_ordered.long_totals, target=card(threads=64)),
    *subjects(test_columns.arrays_for, *test_columns.CASES),
    *subjects(test_rows.arrays_for, *test_rows.CASES, *test_rows.CHANNELS),
    *subjects(test_rows.arrays_for, *test_rows.LONG, target=test_rows.SMALL),
    *(attended(dtype, gradients=True) for dtype in (bf16, f32)),
)  # fmt: skip


def holding_up(compiled: Compiled) -> list[int]:
    """The lines of barriers and waits."""
    lines = unit_text(list(compiled.source.kernels.values())).splitlines()
    return [number for number, line in enumerate(lines, start=1) if HOLDS_UP.search(line)]


def missed(subject: Subject, folder: Path) -> tuple[int, list[int]]:
    """How many barriers and waits there are, and which of them nobody misses."""
    compiled = Compiled.of(
        subject.fn, folder, target=subject.target, winograd=subject.winograd, watched=True
    )
    arrays = subject.arrays_for(subject.fn)
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


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_holds_up_a_template_is_missed(name: str, tmp_path: Path) -> None:
    subject, wanted = TEMPLATES[name]
    count, unnoticed = missed(subject, tmp_path)
    assert count == wanted
    assert not unnoticed


@pytest.mark.slow
@pytest.mark.parametrize("subject", ALL, ids=lambda subject: subject.name)
def test_what_holds_up_any_kernel_is_missed(subject: Subject, tmp_path: Path) -> None:
    count, unnoticed = missed(subject, tmp_path)
    print(f"{count - len(unnoticed)} of {count} barriers and waits are missed")
    assert not unnoticed


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    ["source/test_source.py", "schedule/test_products.py", "schedule/test_memory_bound.py"],
)
def test_sanitizers_have_no_complaint(file: str) -> None:
    tests = Path(__file__).parent / file
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
