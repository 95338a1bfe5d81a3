"""Whether there is a card here, asked of the driver itself.

What needs a driver must not be called without one: some of it hangs then.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec

from ....errors import MissingExtraError, UnsupportedError

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_OLDEST = 13  # the major version of CUDA that the packages of the extra [cuda] are of
_WITHOUT = (
    "without a card there are the source (--emit cuda), the source with a host part for nvcc "
    "(--emit cpp-host), its assembler (--emit ptx) for a target such as 'cuda:sm_90', and the "
    "target 'cpu'"
)


def require_card() -> None:
    """`UnsupportedError` without driver or card, `MissingExtraError` without the packages that
    drive it; both say what there is without."""
    problem = driver_problem()
    if problem is not None:
        raise UnsupportedError(f"{problem}; {_WITHOUT}")
    if find_spec("cuda") is None or find_spec("cuda.core") is None:
        raise MissingExtraError(
            "the package 'cuda-core' is needed to run on a card; install it with "
            f"`pip install 'mlir-lite[cuda]'`; {_WITHOUT}"
        )


def driver_problem() -> str | None:
    """What is wrong with the driver, or None."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return f"there is no NVIDIA driver here ({_DRIVER} is not found)"
    failed = driver.cuInit(0)
    if failed:
        return f"the NVIDIA driver finds no card to work with ({_error_name(driver, failed)})"
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not count.value:
        return "the NVIDIA driver finds no card"
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = version.value // 1000, version.value % 1000 // 10
    if major < _OLDEST:
        return f"the NVIDIA driver is of CUDA {major}.{minor}, and CUDA {_OLDEST} is needed"
    return None


def _error_name(driver: ctypes.CDLL, code: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(name))
    return name.value.decode() if name.value else f"error {code}"
