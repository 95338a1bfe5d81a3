"""Masked accesses touch nothing where their mask is off: run beside memory that must not be read.

A fault kills the process, so each case runs in one of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A parameter that begins right after (or ends right before) a page without access rights.
PROGRAM = """
import ctypes, mmap
import numpy as np
import mlir_lite as ml
from mlir_lite import Value, f32

libc = ctypes.CDLL(None, use_errno=True)
page = mmap.PAGESIZE
block = mmap.mmap(-1, 3 * page)
base = ctypes.addressof(ctypes.c_char.from_buffer(block))
for guard in (0, 2):
    assert libc.mprotect(ctypes.c_void_p(base + guard * page), page, 0) == 0
count = 309
start = page if "{side}" == "low" else 2 * page - 4 * count
x = np.frombuffer(block, np.float32, count, start)
x.flags.writeable = True
x[:] = np.arange(count)

{function}

run = ml.compile(weights, threads=1)
np.testing.assert_allclose(run(x), ml.evaluate(weights, x), rtol=1e-5, atol=1e-7)
"""

# Rows are not cut at the padding's edges, so that the reads there are masked ones.
PADDED = """
@ml.function(f32[count])
def weights(x: Value) -> Value:
    return ml.softmax(ml.pad(x * 2.5 + 0.5, (({low}, {high}),)))
"""

# Vectors along the rows of a channel begin and end beside them.
BLURRED = """
@ml.function(f32[count])
def weights(x: Value) -> Value:
    taps = np.ones((1, 1, 3, 3), np.float32)
    return ml.conv(x.reshape((1, 1, 3, 103)), taps, padding=((1, 1), ({low}, {high})))
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="mprotect is tried on Linux only")
@pytest.mark.parametrize("function", [PADDED, BLURRED], ids=["pad", "conv"])
@pytest.mark.parametrize(("side", "low", "high"), [("low", 36, 0), ("high", 0, 41), ("low", 5, 5)])
def test_what_is_masked_is_not_read(side: str, low: int, high: int, function: str) -> None:
    text = PROGRAM.format(side=side, function=function.format(low=low, high=high))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
