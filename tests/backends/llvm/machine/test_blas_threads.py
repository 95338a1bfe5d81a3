"""OpenBLAS uses one thread while kernels call it, and as many as before afterwards."""

from __future__ import annotations

import ctypes
import os
import threading

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f64
from mlir_lite.backends.llvm.machine.blas_threads import (
    ENTER,
    LEAVE,
    blas_threads,
    openblas_functions,
)

lapack = pytest.importorskip("scipy.linalg.cython_lapack")
OPENBLAS = openblas_functions(lapack.__file__)
needs_openblas = pytest.mark.skipif(not OPENBLAS, reason="SciPy is not linked with OpenBLAS")


@needs_openblas
def test_the_first_takes_the_threads_and_the_last_gives_them_back() -> None:
    library = blas_threads(lapack.__file__)
    enter, leave = (ctypes.CFUNCTYPE(None)(library.address(name)) for name in (ENTER, LEAVE))
    before = OPENBLAS["get"]()
    OPENBLAS["set"](2)
    try:
        seen = []
        for call in (enter, enter, leave, leave):
            call()
            seen.append(OPENBLAS["get"]())
        assert seen == [1, 1, 1, 2]
    finally:
        OPENBLAS["set"](before)


@needs_openblas
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_the_child_of_a_fork_nobody_is_inside() -> None:
    library = blas_threads(lapack.__file__)
    enter, leave = (ctypes.CFUNCTYPE(None)(library.address(name)) for name in (ENTER, LEAVE))
    before = OPENBLAS["get"]()
    OPENBLAS["set"](2)
    try:
        enter()
        child = os.fork()
        if child == 0:
            seen = [OPENBLAS["get"]()]
            for call in (enter, leave):
                call()
                seen.append(OPENBLAS["get"]())
            os._exit(0 if seen == [2, 1, 2] else 1)
        assert os.waitpid(child, 0)[1] == 0
        leave()
        assert OPENBLAS["get"]() == 2
    finally:
        OPENBLAS["set"](before)


@needs_openblas
def test_they_are_there_again_after_calls_from_several_threads() -> None:
    @ml.function(f64[4, 20, 20])
    def f(x: Value) -> Value:
        return ml.linalg.inverse(x)

    x = np.eye(20) + np.zeros((4, 20, 20))
    first = ml.compile(f, threads=2)
    before = OPENBLAS["get"]()
    OPENBLAS["set"](2)

    def work(run: ml.Executable) -> None:
        for _ in range(200):
            run(x)

    threads = [threading.Thread(target=work, args=(run,)) for run in (first, first.clone())]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert OPENBLAS["get"]() == 2
    finally:
        OPENBLAS["set"](before)


def test_another_library_is_left_alone() -> None:
    import _ctypes

    assert openblas_functions(_ctypes.__file__) == {}
    library = blas_threads(_ctypes.__file__)
    ctypes.CFUNCTYPE(None)(library.address(ENTER))()
