"""A fork waits for what other threads are compiling, whose locks its child would find taken."""

from __future__ import annotations

import os
import threading
import time

import pytest

import mlir_lite as ml
from mlir_lite import f32
from mlir_lite.forks import unforked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def forked() -> float:
    """The seconds that a fork takes whose child does nothing."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return time.monotonic() - start


def test_it_waits_for_the_work_of_other_threads() -> None:
    inside, done = threading.Event(), []

    def work() -> None:
        with unforked(), unforked():
            inside.set()
            time.sleep(0.5)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    forked()
    assert done == [True]
    thread.join()


def test_it_does_not_wait_for_its_own_thread() -> None:
    with unforked():
        assert forked() < 30


def test_work_goes_on_after_it_in_parent_and_child() -> None:
    with unforked():
        pass
    child = os.fork()
    if child == 0:
        with unforked():
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with unforked():
        pass


def test_children_compile_while_another_thread_does() -> None:
    ml.compile(ml.function(f32[3])(lambda x: x + 1.0))  # all modules are imported
    enough = threading.Event()

    def work() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            ml.compile(ml.function(f32[8, 8])(lambda x, by=float(number): ml.tanh(x @ x) + by))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for number in range(4):
            time.sleep(0.03 * number)
            child = os.fork()
            if child == 0:
                ml.compile(ml.function(f32[7, 7])(lambda x, by=number: x @ x - by))
                os._exit(0)
            limit = time.monotonic() + 120
            found, status = os.waitpid(child, os.WNOHANG)
            while not found and time.monotonic() < limit:
                time.sleep(0.01)
                found, status = os.waitpid(child, os.WNOHANG)
            if not found:
                os.kill(child, 9)
                os.waitpid(child, 0)
            assert found
            assert status == 0
    finally:
        enough.set()
        thread.join()
