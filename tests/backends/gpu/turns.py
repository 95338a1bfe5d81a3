"""What a turn of a main loop takes of a card, by what its instructions are done by: the cycles that
one warp keeps each unit of its quarter of a multiprocessor busy. Warps take turns, so the unit that
is busy longest says how fast the loop can be: where that is the one of matrices, all others wait
for it, however many instructions theirs are.

The figures are those of NVIDIA's programming guide, "Throughput of native arithmetic instructions"
and "Shared memory" (128 bytes a cycle), and, of matrices, of the white papers of A100, H100 and
B200. The last is what tcgen05 reaches; how fast mma.sync is there has not been told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from mlir_lite.backends.cuda.code.sass import Instruction

QUARTERS = 4  # of a multiprocessor, each with units of its own
LANES = 32
SHARED_BYTES = 128 // QUARTERS  # a cycle
MATRIX = {"sm_80": 1024, "sm_90a": 2048, "sm_100": 4096}  # products of f16 or bf16, a cycle
FLOATS = {"sm_80": 64, "sm_90a": 128, "sm_100": 128}  # products of f32, a cycle
SPECIAL, WHOLE = 16, 64  # powers and reciprocals; integers, comparisons, conversions
_SHAPE = re.compile(r"(HMMA)\.(16)(8)(\d+)|(HGMMA)\.(\d+)x(\d+)x(\d+)")
_WHOLE = frozenset((
    "FMNMX", "FSETP", "FSEL", "ISETP", "LOP3", "IADD3", "VIADD", "VIMNMX", "IMNMX", "SHF", "LEA",
    "SEL", "PRMT", "PLOP3", "F2FP",
))  # fmt: skip
# What the arithmetic of a softmax allows: products of matrices, of head size by sixteen by eight
# scores, and what each lane does to its four of these besides: multiplied and added to, raised,
# rounded in pairs; for gradients multiplied once more, and both weights and differences rounded.
_BESIDE = {"gradient_1": (3, 14), "gradient_2": (4, 16), "attention": (2, 10)}


def cycles(turn: Sequence[Instruction], architecture: str) -> Mapping[str, float]:
    """How long a warp's turn keeps each unit busy, the one that is longest first."""
    found: Counter[str] = Counter()
    for instruction in turn:
        found["issue"] += 1
        name, bare = instruction.name, instruction.opcode.split(".")[0]
        if shape := _SHAPE.match(instruction.opcode):
            found["matrix"] += _matrix_cycles(shape, instruction.opcode, architecture)
        elif bare in ("FFMA", "FADD", "FMUL", "FFMA2"):
            twice = 2 if bare == "FFMA2" else 1
            found["floats"] += twice * LANES * QUARTERS // FLOATS[architecture]
        elif bare == "MUFU":
            found["special"] += LANES * QUARTERS // SPECIAL
        elif bare in _WHOLE:
            found["whole"] += LANES * QUARTERS // WHOLE
        elif bare in ("LDS", "STS", "LDSM", "LDGSTS") and instruction.operands != "RZ, [RZ]":
            found["shared"] += LANES * _bytes_of(instruction.opcode, name) // SHARED_BYTES
    return dict(found.most_common())


def _matrix_cycles(shape: re.Match[str], opcode: str, architecture: str) -> int:
    """Four warps, one a quarter, do a product of a warpgroup together."""
    kind, *sizes = (group for group in shape.groups() if group is not None)
    rate = MATRIX[architecture] // (2 if "TF32" in opcode else 1)
    return prod(map(int, sizes)) // (rate if kind == "HGMMA" else rate // QUARTERS)


def _bytes_of(opcode: str, name: str) -> int:
    """What a lane moves."""
    if name.startswith("LDSM"):
        return 4 * int(opcode.rpartition(".")[2] if opcode[-1] in "24" else "1")
    width = re.search(r"\.(64|128)\b", opcode)
    return int(width[1]) // 8 if width else 4


def matrix_share(turn: Mapping[str, float]) -> float:
    """How busy a loop can keep the units of matrices: all the time, where none is busy longer."""
    return turn.get("matrix", 0) / max(turn.values())


def most_products(kernel: str, head_size: int) -> float:
    """The share of products of matrices in the instructions of an attention that does nothing but
    its arithmetic: no access of memory, no maximum, no step of a loop."""
    products, beside = next(of for name, of in _BESIDE.items() if name in kernel)
    count = products * head_size / 16
    return count / (count + beside)
