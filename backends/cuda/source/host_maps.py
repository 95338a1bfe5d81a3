"""Tensor maps and shared memory in the host part: what a kernel needs besides its arguments."""

from __future__ import annotations

from collections.abc import Iterator

from .kernels import CudaKernel
from .shared_memory import STATIC_BYTES
from .tensor_maps import PROMOTE_TO_256_BYTES, SWIZZLE_128_BYTES, TensorMap

# The driver is asked for through the runtime: there is nothing more to link with.
ENCODE = f"""typedef int (*tensor_map_encoder)(
    TensorMap*, int, unsigned, void*, const unsigned long long*, const unsigned long long*,
    const unsigned*, const unsigned*, int, int, int, int);

static int encode_map(
    TensorMap* map, int element, unsigned axes, const void* array, const unsigned long long* sizes,
    const unsigned long long* strides, const unsigned* box, const unsigned* steps)
{{
    static tensor_map_encoder encode;
    if (!encode) {{
        void* found = 0;
        cudaDriverEntryPointQueryResult how;
        CHECKED(cudaGetDriverEntryPointByVersion(
            "cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &how));
        if (!found) return (int)cudaErrorNotSupported;
        encode = (tensor_map_encoder)found;
    }}
    int failed = encode(map, element, axes, (void*)array, sizes, strides, box, steps,
                        0, {SWIZZLE_128_BYTES}, {PROMOTE_TO_256_BYTES}, 0);
    return failed ? (int)cudaErrorInvalidValue : 0;
}}"""


def map_lines(entry: TensorMap, place: int) -> Iterator[str]:
    """Make the map of this place of the array `aN` that the kernel's parameter is."""
    sizes, strides, box, steps = (
        ", ".join(map(str, numbers))
        for numbers in (entry.sizes, entry.strides, entry.box, entry.steps)
    )
    yield f"TensorMap m{place};"
    yield "{"
    yield f"    const unsigned long long sizes[] = {{{sizes}}}, strides[] = {{{strides}}};"
    yield f"    const unsigned box[] = {{{box}}}, steps[] = {{{steps}}};"
    yield f"    CHECKED(encode_map(&m{place}, {entry.element}, {len(entry.sizes)}, a{entry.param},"
    yield "                       sizes, strides, box, steps));"
    yield "}"


def shared_memory_line(kernel: CudaKernel) -> str:
    """Let a kernel ask for more shared memory than arrays may have; empty where it does not."""
    if kernel.shared_bytes <= STATIC_BYTES:
        return ""
    return (
        f"CHECKED(cudaFuncSetAttribute((const void*){kernel.name},\n"
        "        cudaFuncAttributeMaxDynamicSharedMemorySize, "
        f"{kernel.shared_bytes}));"
    )
