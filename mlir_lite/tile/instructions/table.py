"""Machine instructions a kernel may call, each with its meaning as a small loop nest.

    call @vpdpbusd(acc[i, j], a[i, k], b[k, j, 0])

A backend has one emission rule per name; the interpreter, the verifier and the schedule steps
know the loops only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from ...expr import INDEX, Expr, Load, Var, cast, index
from ...types import DTYPES, DType, bf16, f32, i8, i32, u8
from ..nodes import Accumulate, Buffer, Kind, Loop, Proc, Ref
from .barriers import barrier_procs
from .bulk import CHUNK_BYTES, Box, box_named, boxes
from .copies import bytes_of, copies, wide_accesses
from .matrices import PRODUCTS, matrix_procs
from .warpgroups import product_procs, register_procs, settled_proc
from .warps import warp_procs


@dataclass(frozen=True)
class Instruction:
    """An instruction: `semantics` says what it does, `outputs` which of its windows it writes, and
    of how many bytes the address of those in memory must be a multiple, if of more than one
    element's."""

    semantics: Proc
    outputs: tuple[str, ...]
    doc: str
    alignment: int = 0

    @property
    def name(self) -> str:
        return self.semantics.name

    @property
    def params(self) -> tuple[Buffer, ...]:
        return self.semantics.params

    @property
    def scalars(self) -> tuple[str, ...]:
        return self.semantics.scalars


LANES = 16  # 32-bit lanes of a 512-bit register
LINE_BYTES = 64  # what a cache is filled by, and a prefetch asks for


def _dot(name: str, total: DType, left: DType, right: DType, pair_order: Expr, depth: int) -> Proc:
    """`total[lane] += sum over q of left[q] * right[lane, q]`, q in the order given."""
    lane, step = Var(INDEX, "lane"), pair_order
    product = cast(Load(left, "a", (step,)), total) * cast(
        Load(right, "b", (lane, step)), total
    )
    update = Accumulate("sum", (Ref("acc", (lane,)),), (product,))
    pairs = Loop("q", index(0), index(depth), (update,), Kind.UNROLL)
    return Proc(
        name,
        (
            Buffer("acc", total, (LANES,)),
            Buffer("a", left, (depth,)),
            Buffer("b", right, (LANES, depth)),
        ),
        (),
        (Loop("lane", index(0), index(LANES), (pairs,), Kind.VECTOR),),
    )


def prefetch_name(dtype: DType, *, soon: bool = False) -> str:
    """The instruction that asks for the cache line of an element of this type, into the second
    cache; or, if it is needed `soon`, into the nearest one."""
    return f"prefetch_soon_{dtype}" if soon else f"prefetch_{dtype}"


def _prefetch(dtype: DType, soon: bool) -> Instruction:
    """Has no effect on values; its element need not be inside of the buffer."""
    line = Buffer("line", dtype, (1,))
    doc = f"Ask for a cache line {'that is needed soon' if soon else 'before it is needed'}."
    return Instruction(Proc(prefetch_name(dtype, soon=soon), (line,), (), ()), (), doc)


@cache
def _copied(box: Box) -> Instruction:
    doc = "Copy a box into shared memory, zeros where it is outside of the array."
    return Instruction(box.proc, ("to",), doc, CHUNK_BYTES)


class _Instructions(Mapping[str, Instruction]):
    """The instructions that are listed, and copies of boxes of any sides by their names."""

    def __getitem__(self, name: str) -> Instruction:
        if name in _LISTED:
            return _LISTED[name]
        box = box_named(name)
        if box is None:
            raise KeyError(name)
        return _copied(box)

    def __iter__(self) -> Iterator[str]:
        return iter(_LISTED)

    def __len__(self) -> int:
        return len(_LISTED)


_Q = Var(INDEX, "q")

DOTS = ("vpdpbusd", "vpdpbf16ps")  # of a total, left elements and right ones
NARROW_PRODUCTS = frozenset((*DOTS, *(made.name for made in PRODUCTS.values())))
PREFETCHES_SOON = frozenset(prefetch_name(dtype, soon=True) for dtype in DTYPES.values())
PREFETCHES = PREFETCHES_SOON | frozenset(map(prefetch_name, DTYPES.values()))

_LISTED: Mapping[str, Instruction] = {
    instruction.name: instruction
    for instruction in (
        Instruction(
            _dot("vpdpbusd", i32, u8, i8, _Q, 4),
            ("acc",),
            "AVX-512 VNNI: u8 x i8 products, four to a lane, added to i32 (wraps around); "
            "the same four u8 for all lanes.",
        ),
        # The odd element of a pair is added first (Intel SDM, VDPBF16PS). The machine flushes
        # denormals, which these loops do not.
        Instruction(
            _dot("vpdpbf16ps", f32, bf16, bf16, index(1) - _Q, 2),
            ("acc",),
            "AVX-512 BF16: bf16 x bf16 products, two to a lane, added to f32; "
            "the same left two for all lanes.",
        ),
        *(_prefetch(dtype, soon) for dtype in DTYPES.values() for soon in (False, True)),
        *(
            Instruction(proc, (output,), "AMX: matrices in registers of a core.")
            for proc, output in matrix_procs()
        ),
        *(
            Instruction(
                copy,
                ("to",),
                "Copy into shared memory, and zeros from `valid` on.",
                bytes_of(copy.params[0]),
            )
            for copy in copies()
        ),
        *(
            Instruction(
                proc,
                ("to",),
                "Move neighbours between memory and registers.",
                bytes_of(proc.params[0]),
            )
            for proc in wide_accesses()
        ),
        *(
            Instruction(proc, (output,), "Fragments of matrices, of all threads of a warp.")
            for proc, output in warp_procs()
        ),
        *map(_copied, boxes()),
        *(
            Instruction(proc, tuple(param.name for param in proc.params), doc)
            for proc, doc in barrier_procs()
        ),
        *(
            Instruction(proc, ("acc",), "Product of matrices in shared memory, of a warpgroup.")
            for proc in product_procs()
        ),
        *(
            Instruction(proc, (), "Share out registers among warpgroups; has no effect on values.")
            for proc in register_procs()
        ),
        Instruction(settled_proc(), (), "Find totals before what comes after."),
    )
}

INSTRUCTIONS: Mapping[str, Instruction] = _Instructions()


def dot_factors(name: str) -> str:
    """The types of what a dot instruction multiplies: `bf16`, `u8 by i8`."""
    left, right = (str(param.dtype) for param in INSTRUCTIONS[name].params[1:])
    return left if left == right else f"{left} by {right}"


def dot_instruction(total: DType, left: DType, right: DType) -> Instruction | None:
    """The instruction that adds sums of products of two such elements to such a total."""
    wanted = [total, left, right]
    for name in DOTS:
        instruction = INSTRUCTIONS[name]
        if [param.dtype for param in instruction.params] == wanted:
            return instruction
    return None
