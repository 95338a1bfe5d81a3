"""Assembler that cards have from compute capability 9.0 on, behind names: barriers that count
arrivals, copies of boxes by the card's engine, products of warpgroups.
"""

from __future__ import annotations

from collections.abc import Mapping

from ....tile.instructions.warpgroups import (
    FEWER,
    MORE,
    ROWS,
    SETTLED,
    GroupProduct,
    products,
    registers_name,
)
from ....tile.instructions.warps import NARROW, factor_name, terms_of

TENSOR_MAP = "TensorMap"
_AXES = (2, 3, 4, 5)  # of arrays

_MEMORY: Mapping[str, str] = {
    TENSOR_MAP: """// What the driver tells of an array and of a box in it.
struct __align__(64) TensorMap { unsigned long long words[16]; };""",
    "asked_shared_memory": """// The shared memory that the launch asked for.
__device__ inline unsigned char* asked_shared_memory()
{
    extern __shared__ __align__(1024) unsigned char memory[];
    return memory;
}""",
    "shared_place": """__device__ inline unsigned shared_place(const void* element)
{
    return (unsigned)__cvta_generic_to_shared(element);
}""",
}

_BARRIERS: Mapping[str, str] = {
    "barrier_init": """__device__ inline void barrier_init(long long* barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
                 :: "r"(shared_place(barrier)), "r"(arrivals) : "memory");
}""",
    "fence_async": """// What is written here is seen by what goes on while the threads do.
__device__ inline void fence_async()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}""",
    "barrier_expect": """// Arrives when so many bytes have come.
__device__ inline void barrier_expect(long long* barrier, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :: "r"(shared_place(barrier)), "r"(bytes) : "memory");
}""",
    "arrive_warps": """// The first lane of each warp arrives.
__device__ inline void arrive_warps(long long* barrier)
{
    if (threadIdx.x % 32 == 0)
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];"
                     :: "r"(shared_place(barrier)) : "memory");
}""",
    "barrier_wait": """__device__ inline void barrier_wait(long long* barrier, int parity)
{
    unsigned place = shared_place(barrier);
    int is_over;
    do {
        asm volatile("{.reg .pred over; "
                     "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2; "
                     "selp.b32 %0, 1, 0, over;}"
                     : "=r"(is_over) : "r"(place), "r"(parity) : "memory");
    } while (!is_over);
}""",
}


def _bulk_wrapper(axes: int) -> str:
    """Coordinates are those of the first element, the innermost axis first."""
    names = [f"at{axis}" for axis in range(axes)]
    given = ", ".join(f"int {name}" for name in names)
    operands = ", ".join(f'"r"({name})' for name in names)
    places = ", ".join(f"%{3 + axis}" for axis in range(axes))
    return f"""__device__ inline void bulk_{axes}d(
    void* to, const TensorMap* map, {given}, long long* barrier)
{{
    asm volatile("cp.async.bulk.tensor.{axes}d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {{{places}}}], [%2];"
                 :: "r"(shared_place(to)), "l"(map), "r"(shared_place(barrier)),
                    {operands} : "memory");
}}"""


_GROUPS: Mapping[str, str] = {
    "wgmma_fence": """__device__ inline void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}""",
    "wgmma_commit": """__device__ inline void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}""",
    "wgmma_wait": """template <int pending>
__device__ inline void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(pending) : "memory");
}""",
    SETTLED: f"""// Totals below 0 would end a thread: none are, but what they are of must be known.
__device__ inline void {SETTLED}(const float* total)
{{
    asm volatile("{{.reg .pred known; setp.geu.f32 known, %0, 0f00000000; @known bra going; "
                 "wgmma.wait_group.sync.aligned 0; exit; going:}}"
                 :: "f"(total[0] + total[1] + total[2] + total[3]));
}}""",
    "wgmma_result": """// Sums are read from here on: a compiler must not do that before.
template <int count>
__device__ inline void wgmma_result(float (&sums)[count])
{
    #pragma unroll
    for (int e = 0; e < count; ++e) asm volatile("" : "+f"(sums[e]) :: "memory");
}""",
}


def _registers_wrapper(count: int) -> str:
    change = "dec" if count in FEWER else "inc"
    return f"""__device__ inline void {registers_name(count)}()
{{
    asm volatile("setmaxnreg.{change}.sync.aligned.u32 {count};");
}}"""


def _product_wrapper(made: GroupProduct) -> str:
    """The matrices are told by descriptors, as `swizzled_matrix` makes them."""
    sums, terms, kind = made.columns // 2, terms_of(made.dtype), factor_name(made.dtype)
    results = [f"%{number}" for number in range(sums)]
    lines = [", ".join(results[at : at + 16]) for at in range(0, sums, 16)]
    registers = ', "\n                 "'.join(lines)
    written = "=f" if made.begun else "+f"
    operands = [f'"{written}"(acc[{number}])' for number in range(sums)]
    rows = [", ".join(operands[at : at + 4]) for at in range(0, sums, 4)]
    given = ",\n                   ".join(rows)
    count = 4 if made.held else 1
    places = [f"%{sums + number}" for number in range(count)]
    left = f"{{{', '.join(places)}}}" if made.held else places[0]
    own = ", ".join(f'"r"(a[{number}])' for number in range(count)) if made.held else '"l"(a)'
    signs = [1, 1]
    if made.dtype in NARROW:  # f32 has one order only, and registers have their own
        signs += map(int, made.turned[1:] if made.held else made.turned)
    flags = ", ".join(map(str, signs))
    shape = f"m{ROWS}n{made.columns}k{terms}"
    parameter = "const unsigned* a" if made.held else "unsigned long long a"
    equals = "=" if made.begun else "+="
    return f"""// acc {equals} a * b, of {ROWS} by {terms} and {terms} by {made.columns} elements.
__device__ inline void {made.name}(float* acc, {parameter}, unsigned long long b)
{{
    asm volatile("{{.reg .pred adds; setp.ne.b32 adds, {int(not made.begun)}, 0; "
                 "wgmma.mma_async.sync.aligned.{shape}.f32.{kind}.{kind} "
                 "{{{registers}}}, "
                 "{left}, %{sums + count}, adds, {flags};}}"
                 : {given} : {own}, "l"(b));
}}"""


GROUP_WRAPPERS: Mapping[str, str] = {
    **_MEMORY,
    **_BARRIERS,
    **{f"bulk_{axes}d": _bulk_wrapper(axes) for axes in _AXES},
    **_GROUPS,
    **{registers_name(count): _registers_wrapper(count) for count in (*FEWER, *MORE)},
    **{made.name: _product_wrapper(made) for made in products()},
}

# What only cards of this very kind have, not those that came after them.
SPECIFIC = frozenset(
    name for name in GROUP_WRAPPERS if name.startswith("wgmma_") or "_registers_" in name
)
