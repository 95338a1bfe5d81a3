"""Times by a card's clock, which here tells how many things were done: one a tick."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict

import pytest

from mlir_lite.backends.cuda.card import timing
from mlir_lite.backends.cuda.card.timing import copy_bandwidth, kernel_seconds, run_seconds
from mlir_lite.tile.analyses.uses import turns_of

from ..examples import BY_NAME, arrays_for
from ..on_shim import executable_on
from ..shim import needs_shim
from ..shim_card import ShimCard

pytestmark = needs_shim
CACHE = 1 << 12


@pytest.fixture(autouse=True)
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    count = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(count)))
    monkeypatch.setattr(timing, "_COPY_BYTES", 1 << 16)


def test_a_kernels_time_is_without_that_of_the_clock() -> None:
    fn = BY_NAME["recurrent"]
    loaded = executable_on(ShimCard(), fn).loaded()
    found = kernel_seconds(loaded, arrays_for(fn), CACHE, 3)
    turns = turns_of(loaded.program)
    launches: dict[str, float] = defaultdict(float)
    for call, count in zip(loaded.program.calls, turns, strict=True):
        launches[call.kernel] += count
    assert max(turns) == 20
    assert found == launches


def test_a_run_takes_as_long_as_its_kernels() -> None:
    fn = BY_NAME["linear"]
    shim = ShimCard()
    loaded = executable_on(shim, fn).loaded()
    # Three times the cache is less than one set of arrays, and the clock takes one of four runs'.
    assert run_seconds(loaded, arrays_for(fn), CACHE, 2) == [1.25, 1.25]
    assert (shim.launched, shim.replayed) == (1, 1 + 2 * 4)
    sets = -(-3 * CACHE * 8 // sum(value.type.nbytes for value in (*fn.params, *fn.results)))
    assert run_seconds(loaded, arrays_for(fn), CACHE * 8, 1) == [1 + 1 / (4 * sets)]
    assert sets > 1


def test_copies_count_what_they_read_and_write() -> None:
    assert copy_bandwidth(ShimCard()) == (1 << 16) / 2
