"""Assembler of the card, behind names, and accesses of several elements at once. Everything else
of a source is plain C++."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ....tile.instructions.copies import SIZES
from ....tile.instructions.warps import (
    MAXIMA,
    NARROW,
    POWERS,
    QUAD_MAXIMA,
    mma_name,
    narrow_name,
    row_sums_name,
)
from ....types import DType
from .functions import FUNCTIONS
from .group_wrappers import GROUP_WRAPPERS, TENSOR_MAP

_CONVERSIONS: Mapping[str, str] = {
    "bf16_value": """__device__ inline float bf16_value(unsigned short bits)
{
    return __int_as_float((int)((unsigned)bits << 16));
}""",
    "bf16_bits": """__device__ inline unsigned short bf16_bits(float x)
{
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ inline unsigned short bf16_bits(double x)
{
    float near = (float)x;
    if (near == x || near != near) return bf16_bits(near);
    // Rounded to odd first, so that rounding again gives what rounding once would.
    int bits = __float_as_int(near);
    if (fabs((double)near) > fabs(x)) bits = (bits - 1) | 1;
    return bf16_bits(__int_as_float(bits | 1));
}""",
    "to_tf32": """__device__ inline float to_tf32(float x)
{
    int bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __int_as_float(bits);
}""",
    "f16_value": """__device__ inline float f16_value(unsigned short bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}""",
    "f16_bits": """__device__ inline unsigned short f16_bits(float x)
{
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ inline unsigned short f16_bits(double x)
{
    unsigned short bits;
    asm("cvt.rn.f16.f64 %0, %1;" : "=h"(bits) : "d"(x));
    return bits;
}""",
}


def _copy_wrapper(size: int) -> str:
    """Asynchronous copies; those past the nearest cache are of 16 bytes only."""
    cache = "cg" if size == 16 else "ca"
    return f"""__device__ inline void cp_async_{size}(void* to, const void* from, int bytes)
{{
    unsigned place = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.{cache}.shared.global [%0], [%1], {size}, %2;"
                 :: "r"(place), "l"(from), "r"(bytes) : "memory");
}}"""


_COPIES: Mapping[str, str] = {
    **{f"cp_async_{size}": _copy_wrapper(size) for size in SIZES},
    "cp_async_commit": """__device__ inline void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}""",
    "cp_async_wait": """template <int pending>
__device__ inline void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" :: "n"(pending) : "memory");
}""",
}


_NEIGHBOURS: Mapping[str, str] = {
    "neighbours": """// Elements that lie side by side, read or written at once.
template <class T, int count>
struct __align__(sizeof(T) * count) neighbours {
    T at[count];
};""",
    **{
        f"load_{kind}": f"""template <int count, class V, class T>
__device__ inline void load_{kind}(V* to, const T* from)
{{
    const neighbours<T, count> all = *(const neighbours<T, count>*)from;
    #pragma unroll
    for (int e = 0; e < count; ++e) to[e] = {value};
}}"""
        for kind, value in {
            "neighbours": "all.at[e]",
            "bf16": "bf16_value(all.at[e])",
            "f16": "f16_value(all.at[e])",
        }.items()
    },
    **{
        f"store_{kind}": f"""template <int count, class V, class T>
__device__ inline void store_{kind}(T* to, const V* from)
{{
    neighbours<T, count> all;
    #pragma unroll
    for (int e = 0; e < count; ++e) all.at[e] = {value};
    *(neighbours<T, count>*)to = all;
}}"""
        for kind, value in {
            "neighbours": "from[e]",
            "bf16": "bf16_bits(from[e])",
            "f16": "f16_bits(from[e])",
        }.items()
    },
}


def _load_wrapper(name: str, turned: str) -> str:
    return f"""// Four matrices of eight by eight elements; each lane gives the place of one row.
__device__ inline void {name}(unsigned* to, const void* row)
{{
    unsigned place = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4{turned}.shared.b16 {{%0, %1, %2, %3}}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(place) : "memory");
}}"""


_LOAD_FLOATS = """// Four matrices of eight rows of four floats.
__device__ inline void load_matrices_f32(float* to, const void* row)
{
    unsigned bits[4];
    load_matrices(bits, row);
    for (int part = 0; part < 4; ++part) to[part] = __int_as_float((int)bits[part]);
}"""

_MULTIPLY_FLOATS = """// acc += a * b, of sixteen by eight and eight by eight rounded elements.
__device__ inline void mma_tf32(float* acc, const float* a, const float* b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
                 : "r"(__float_as_int(a[0])), "r"(__float_as_int(a[1])),
                   "r"(__float_as_int(a[2])), "r"(__float_as_int(a[3])),
                   "r"(__float_as_int(b[0])), "r"(__float_as_int(b[1])));
}"""


def _mma_wrapper(dtype: DType) -> str:
    return f"""// acc += a * b, of sixteen by sixteen and sixteen by eight elements.
__device__ inline void mma_{dtype}(float* acc, const unsigned* a, const unsigned* b)
{{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.{dtype}.{dtype}.f32 "
                 "{{%0, %1, %2, %3}}, {{%4, %5, %6, %7}}, {{%8, %9}}, {{%0, %1, %2, %3}};"
                 : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}}"""


def _narrow_wrapper(dtype: DType) -> str:
    pairs = "\n".join(
        f"    asm(\"cvt.rn.{dtype}x2.f32 %0, %1, %2;\" "
        f": \"=r\"(to[{at}]) : \"f\"(from[{2 * at + 1}]), \"f\"(from[{2 * at}]));"
        for at in range(4)
    )
    return f"""// Two fragments of sums as the left operand of a product.
__device__ inline void {narrow_name(dtype)}(unsigned* to, const float* from)
{{
{pairs}
}}"""


def _row_sums_wrapper(dtype: DType) -> str:
    ones = {"bf16": "0x3f803f80", "f16": "0x3c003c00"}[dtype.name]
    return f"""// The sums of the rows of a left operand, as a product with ones gives them.
__device__ inline void {row_sums_name(dtype)}(float* acc, const unsigned* a)
{{
    const unsigned ones[2] = {{{ones}, {ones}}};
    {mma_name(dtype)}(acc, a, ones);
}}"""


_ROWS: Mapping[str, str] = {
    MAXIMA: f"""__device__ inline void {MAXIMA}(float* most, const float* acc)
{{
    most[0] = fmaxf(most[0], fmaxf(acc[0], acc[1]));
    most[1] = fmaxf(most[1], fmaxf(acc[2], acc[3]));
}}""",
    QUAD_MAXIMA: f"""__device__ inline void {QUAD_MAXIMA}(float* most)
{{
    for (int step = 1; step < 4; step *= 2)
        for (int h = 0; h < 2; ++h)
            most[h] = fmaxf(most[h], __shfl_xor_sync(0xffffffffu, most[h], step));
}}""",
    POWERS: f"""__device__ inline void {POWERS}(float* to, const float* from)
{{
    for (int e = 0; e < 4; ++e)
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(to[e]) : "f"(from[e]));
}}""",
    **{narrow_name(dtype): _narrow_wrapper(dtype) for dtype in NARROW},
    **{row_sums_name(dtype): _row_sums_wrapper(dtype) for dtype in NARROW},
}

_PRODUCTS: Mapping[str, str] = {
    "load_matrices": _load_wrapper("load_matrices", ""),
    "load_matrices_turned": _load_wrapper("load_matrices_turned", ".trans"),
    "load_matrices_f32": _LOAD_FLOATS,
    "mma_tf32": _MULTIPLY_FLOATS,
    **{mma_name(dtype): _mma_wrapper(dtype) for dtype in NARROW},
}

WRAPPERS: Mapping[str, str] = {
    **_CONVERSIONS,
    **_COPIES,
    **_NEIGHBOURS,
    **_PRODUCTS,
    **_ROWS,
    **GROUP_WRAPPERS,
}


def needed(text: str) -> tuple[list[str], list[str]]:
    """The names of the wrappers and of the functions that a text calls, and that those call."""
    wanted: set[str] = set()
    pending = [text]
    known = {**FUNCTIONS, **WRAPPERS}
    while pending:
        pieces = pending.pop()
        words = set(re.findall(r"\b[a-z_0-9]+\b(?=[<(])", pieces))
        words |= {TENSOR_MAP} if TENSOR_MAP in pieces else set()
        new = {word for word in words if word in known} - wanted
        wanted |= new
        pending += [known[name] for name in new]
    wrappers = [name for name in WRAPPERS if name in wanted]
    return wrappers, [name for name in FUNCTIONS if name in wanted]
