"""A signal whose handler raises an error, as Ctrl-C's does, ends a long call between two steps,
or within a long one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.backends.llvm.entry import python_call
from mlir_lite.types import Array

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")

TURNS = 20_000  # of some 0.3 ms each: far longer than any of these tests waits


class Interrupt(Exception):
    """What an alarm raises, as Ctrl-C raises KeyboardInterrupt."""


@ml.function(f32[256, 256], f32[256, 256])
def long(x: Value, w: Value) -> Value:
    def step(h: Value, _: Value) -> tuple[Value, Value]:
        h = ml.tanh(h @ w)
        return h, h[0, 0]

    last, _ = ml.scan(step, x, ml.zeros((TURNS,)))
    return last


def arrays() -> tuple[Array, Array]:
    return np.eye(256, dtype=np.float32), np.eye(256, dtype=np.float32)


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Raises `Interrupt` after so many seconds."""

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Subclass(np.ndarray):
    """An array that the compiled check leaves to Python."""


@pytest.mark.parametrize("kind", [np.ndarray, Subclass])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_call_ends_soon(
    threads: int, kind: type[Array], alarm: Callable[[float], None]
) -> None:
    run = ml.compile(long, threads=threads)
    given: list[Array] = [array.view(kind) for array in arrays()]
    start = time.monotonic()
    with pytest.raises(Interrupt):
        alarm(0.1)
        run(*given)
    assert time.monotonic() - start < 2
    # In another thread, as it would wait for good if a lock were left taken.
    again = threading.Thread(target=lambda: ml.compile(short, threads=threads)(*given), daemon=True)
    again.start()
    again.join(timeout=30)
    assert not again.is_alive()


LARGE = 1 << 23


@ml.function(f32[LARGE])
def slow(x: Value) -> Value:
    """One step of some 50 ms."""
    for _ in range(12):
        x = ml.erf(x)
    return x


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_step_ends_within(
    threads: int, alarm: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_call, "_TICKS", {})  # as if each pause to ask were a long one
    monkeypatch.setattr(python_call, "_OTHER_TICKS", 1)
    run = ml.compile(slow, threads=threads)
    x, out = np.ones(LARGE, np.float32), np.full(LARGE, np.nan, np.float32)
    with pytest.raises(Interrupt):
        alarm(0.002)
        run(x, out=out)
    assert np.isnan(out).any()
    assert not np.isnan(run(x)).any()


@ml.function(f32[256, 256], f32[256, 256])
def short(x: Value, w: Value) -> Value:
    return x @ w


def test_a_handler_that_returns_does_not_end_the_call() -> None:
    asked = []

    def step(h: Value, _: Value) -> tuple[Value, Value]:
        h = h @ h
        return h, h[0, 0]

    fn = ml.function(f32[256, 256])(lambda x: ml.scan(step, x, ml.zeros((5000,)))[0])
    run = ml.compile(fn, threads=1)
    x = arrays()[0]
    before = signal.signal(signal.SIGALRM, lambda *_: asked.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        y = run(x)
        ended = time.monotonic()
    finally:
        signal.signal(signal.SIGALRM, before)
    np.testing.assert_array_equal(y, x)
    assert asked
    assert asked[0] < ended


def test_what_overwrites_its_arguments_runs_to_the_end(alarm: Callable[[float], None]) -> None:
    def step(h: Value, _: Value) -> tuple[Value, Value]:
        h = h + 1.0
        return h, h[0]

    fn = ml.function(f32[1000])(lambda x: ml.scan(step, x, ml.zeros((1_000_000,)))[0])
    run = ml.compile(fn, donate={"x": 0}, threads=1)
    x = np.zeros(1000, np.float32)
    with pytest.raises(Interrupt):
        alarm(0.02)
        run(x)
    # Or not begun, on a machine that was busy with others.
    assert np.unique(x).tolist() in ([1_000_000.0], [0.0])
