"""Without a card, a driver or the packages for it, an error says what is missing and what works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mlir_lite as ml
from mlir_lite import MissingExtraError, UnsupportedError
from mlir_lite.backends.cuda.card import probe
from mlir_lite.backends.cuda.card.here import found_card

from ..examples import BY_NAME, arrays_for
from ..shim import needs_shim

# A driver that says what the environment says.
DRIVER = r"""
#include <stdlib.h>
static int said(const char* name) { return atoi(getenv(name)); }
extern "C" int cuInit(unsigned) { return said("FAKE_INIT"); }
extern "C" int cuDeviceGetCount(int* count) { *count = said("FAKE_COUNT"); return 0; }
extern "C" int cuDriverGetVersion(int* version) { *version = said("FAKE_VERSION"); return 0; }
extern "C" int cuGetErrorName(int code, const char** name)
{
    *name = code == 100 ? "CUDA_ERROR_NO_DEVICE" : 0;
    return *name ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.cpp").write_text(DRIVER)
    command = ["g++", "-shared", "-fPIC", "-o", "libcuda.so", "driver.cpp"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "libcuda.so"


def say(monkeypatch: pytest.MonkeyPatch, init: int, count: int, version: int) -> None:
    for name, value in (("INIT", init), ("COUNT", count), ("VERSION", version)):
        monkeypatch.setenv(f"FAKE_{name}", str(value))


def test_a_call_without_a_driver_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_DRIVER", "no_driver.so")
    fn = BY_NAME["halved"]
    run = ml.compile(fn, target="cuda:sm_90")
    for _ in range(2):
        with pytest.raises(UnsupportedError) as told:
            run(*arrays_for(fn))
    text = str(told.value)
    assert text.startswith("there is no NVIDIA driver here (no_driver.so is not found); without")
    for works in ("--emit cuda", "--emit cpp-host", "--emit ptx", "'cpu'"):
        assert works in text
    assert "extern" in run.stages["cuda"]


@needs_shim
@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ((100, 1, 13000), r"finds no card to work with \(CUDA_ERROR_NO_DEVICE\); without a card"),
        ((999, 1, 13000), r"finds no card to work with \(error 999\); without a card"),
        ((0, 0, 13000), "the NVIDIA driver finds no card; without a card"),
        ((0, 1, 12040), r"the NVIDIA driver is of CUDA 12.4, and CUDA 13 is needed; without"),
    ],
)
def test_a_driver_that_cannot_do_it_is_named(
    driver: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[int, int, int], problem: str
) -> None:
    monkeypatch.setattr(probe, "_DRIVER", str(driver))
    say(monkeypatch, *said)
    with pytest.raises(UnsupportedError, match=problem):
        found_card()


@needs_shim
def test_missing_packages_are_named(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_DRIVER", str(driver))
    say(monkeypatch, 0, 1, 13000)
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mlir-lite\[cuda\]'`; without"):
        found_card()
