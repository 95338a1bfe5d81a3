"""What only some machines have: NVIDIA's compiler and disassembler."""

from __future__ import annotations

import pytest

from mlir_lite.backends.cuda.code.nvrtc import Binary, compile_source
from mlir_lite.backends.cuda.code.sass import sass_text
from mlir_lite.errors import UnsupportedError


@pytest.fixture(scope="session")
def nvrtc() -> Binary:
    """An empty source's machine code; who asks for it is skipped where there is no compiler."""
    try:
        return compile_source('extern "C" __global__ void empty() {}', "sm_80")
    except UnsupportedError as error:
        pytest.skip(str(error))  # it says what is missing, and how to install it


@pytest.fixture(scope="session")
def disassembler(nvrtc: Binary) -> None:
    """Whoever asks for it is skipped where there is none."""
    try:
        sass_text(nvrtc)
    except UnsupportedError as error:
        pytest.skip(str(error))  # it says what is missing, and how to install it
