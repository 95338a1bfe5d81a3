"""Bugs that a card shows some day, planted in small kernels: each is caught, and this is by whom.

The checker sees races, copies that are waited for too late, shared memory that none has written and
accesses beside a buffer; the shim itself sees barriers that not all come to and misaligned copies.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import pytest

from mlir_lite import f32
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.tile.nodes import Buffer

from .shim import ShimDevice, build, build_checked, needs_shim, unit_text

pytestmark = needs_shim

THREADS, COUNT = 64, 256

# What the checker says of a kernel's body: each is right but for one thing.
SEEN_BY_THE_CHECKER: Mapping[str, tuple[str, str]] = {
    "missing_barrier": (
        """s[t] = 0.0f;
        __syncthreads();
        s[t] = x[t];
        y[t] = s[63 - t];""",
        "a race: threads",
    ),
    "missing_warp_barrier": (
        """s[t] = 0.0f;
        __syncthreads();
        s[t] = x[t];
        y[t] = s[t ^ 1];""",
        "a race: threads",
    ),
    "overwritten_too_early": (
        """s[t] = x[t];
        __syncthreads();
        y[t] = s[63 - t];
        cp_async_4(&s[t], &x[t], 4);
        cp_async_commit();
        cp_async_wait<0>();""",
        "a race: threads",
    ),
    "loose_wait": (
        """cp_async_16(&s[4 * t], &x[4 * t], 16);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        y[t] = s[63 - t];""",
        "touches byte .* of shared memory, to which a copy of thread .* is on its way",
    ),
    "no_barrier_after_a_wait": (
        """s[t] = 0.0f;
        __syncthreads();
        cp_async_4(&s[t], &x[t], 4);
        cp_async_commit();
        cp_async_wait<0>();
        y[t] = s[63 - t];""",
        "a race: threads|is on its way",
    ),
    "wrong_stage": (
        """cp_async_4(&s[t], &x[t], 4);
        cp_async_commit();
        cp_async_4(&s[64 + t], &x[64 + t], 4);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        y[t] = s[64 + (63 - t)];""",
        "is on its way",
    ),
    "two_copies_to_one_place": (
        """cp_async_4(&s[t / 2], &x[t], 4);
        cp_async_commit();
        cp_async_wait<0>();""",
        "is on its way|a race: threads",
    ),
    "never_written": (
        "y[t] = s[t];",
        "reads byte .* of shared memory, which none has written",
    ),
    "past_the_end": (
        "y[t + 193] = x[t];",
        "touches bytes 1024 to 1028 of a global buffer of 1024",
    ),
    "before_the_start": (
        "y[t] = x[t - 1];",
        "touches bytes -4 to 0 of a global buffer of 1024",
    ),
    "copied_from_past_the_end": (
        """cp_async_16(&s[4 * t], &x[4 * t + 4], 16);
        cp_async_commit();
        cp_async_wait<0>();""",
        "touches bytes 1024 to 1040 of a global buffer of 1024",
    ),
}

SEEN_BY_ALL: Mapping[str, tuple[str, str]] = {
    "divergent_barrier": (
        "if (t < 32) __syncthreads();",
        "32 of 64 threads wait at a barrier that the others do not come to",
    ),
    "misaligned_copy": (
        "cp_async_16(&s[4 * t + 1], &x[4 * t], 16);",
        "copies 16 bytes where it may not begin",
    ),
    "misaligned_source": (
        "cp_async_8(&s[2 * t], &x[2 * t + 1], 8);",
        "copies 8 bytes where it may not begin",
    ),
    "misaligned_row": (
        """unsigned to[4];
        load_matrices(to, &s[t + 1]);
        y[t] = to[0];""",
        "loads a row not at 16 bytes",
    ),
    "half_a_warp_loads": (
        """unsigned to[4];
        if (t % 32 < 16) load_matrices(to, &s[4 * t]);
        y[t] = 0.0f;""",
        "wait at a barrier that the others do not come to",
    ),
}

RIGHT: Mapping[str, str] = {
    "in_order": """s[t] = x[t];
        __syncwarp();
        float other = s[t ^ 1];
        __syncthreads();
        cp_async_4(&s[t], &x[t + 64], 4);
        cp_async_commit();
        cp_async_4(&s[t + 64], &x[t], 4);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        y[t] = s[63 - t] + other;
        cp_async_wait<0>();
        __syncthreads();
        y[t + 64] = s[127 - t];"""
}


def kernel(name: str, body: str) -> CudaKernel:
    source = f"""extern "C" __global__ void {name}(const float* x, float* y)
{{
        __shared__ float s[{COUNT + 4}];
        const int t = threadIdx.x;
        {body}
}}"""
    buffers = tuple(Buffer(name, f32, (COUNT,)) for name in "xy")
    return CudaKernel(name, source, (1, 1, 1), (THREADS, 1, 1), buffers)


KERNELS = {
    **{name: kernel(name, body) for name, (body, _) in SEEN_BY_THE_CHECKER.items()},
    **{name: kernel(name, body) for name, (body, _) in SEEN_BY_ALL.items()},
    **{name: kernel(name, body) for name, body in RIGHT.items()},
}


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    text = unit_text(list(KERNELS.values()))
    return build_checked(text, tmp_path_factory.mktemp("watched"), "planted")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    text = unit_text(list(KERNELS.values()))
    return build(text, tmp_path_factory.mktemp("plain"), "planted")


def launch(name: str, device: ShimDevice) -> None:
    device.launch(KERNELS[name], [device.allocate(4 * COUNT) for _ in "xy"])


each_order = pytest.mark.parametrize("order", ["ascending", "descending"])


@each_order
@pytest.mark.parametrize("name", SEEN_BY_THE_CHECKER)
def test_the_checker_sees(name: str, order: str, watching: ctypes.CDLL) -> None:
    with pytest.raises(AssertionError, match=SEEN_BY_THE_CHECKER[name][1]):
        launch(name, ShimDevice(watching, order, watches=True))


@each_order
@pytest.mark.parametrize("name", SEEN_BY_ALL)
def test_the_shim_sees(
    name: str, order: str, watching: ctypes.CDLL, plain: ctypes.CDLL
) -> None:
    for device in (ShimDevice(plain, order), ShimDevice(watching, order, watches=True)):
        with pytest.raises(AssertionError, match=SEEN_BY_ALL[name][1]):
            launch(name, device)


@each_order
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_let_pass(
    name: str, order: str, watching: ctypes.CDLL, plain: ctypes.CDLL
) -> None:
    for device in (ShimDevice(plain, order), ShimDevice(watching, order, watches=True)):
        launch(name, device)
