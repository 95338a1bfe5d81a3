"""What the cards' machine code holds, without a card: registers, occupancy, and the instructions of
each kernel's main loop, kept as golden figures in one table that a person reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import pytest

from mlir_lite.backends.cuda.code.nvrtc import Binary, compile_source
from mlir_lite.backends.cuda.code.occupancy import occupancy
from mlir_lite.backends.cuda.code.sass import counts, listings, sass_text
from mlir_lite.backends.cuda.source.functions import FUNCTIONS
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.backends.cuda.source.wrappers import WRAPPERS, needed
from mlir_lite.target import Gpu

from ..compiled import card, planned
from ..templates import FACTORS, TEMPLATES

TABLE = Path(__file__).parents[3] / "golden" / "cuda" / "static.txt"
ARCHITECTURES = {"sm_80": "sm_80", "sm_90": "sm_90a", "sm_100": "sm_100"}  # by the card's name

# What versions of the compiler may change.
REGISTERS = 8
OCCUPANCY = 0.13
SHARE = 0.04  # of an instruction in the main loop

BOX = "UTMALDG"

# The instructions that a table tells of; of all others only how many there are.
TOLD = (
    "HGMMA", "UTCHMMA", "HMMA", "FFMA", "FFMA2", "FADD", "FMUL", "MUFU", "SHFL", "LDSM", BOX,
    "LDGSTS.128", "LDGSTS.64", "LDGSTS", "LDG.128", "LDG.64", "LDG", "STG.128", "STG.64", "STG",
    "LDS.128", "LDS.64", "LDS", "STS.128", "STS.64", "STS", "BAR", "LDL", "STL",
)  # fmt: skip

HEADER = f"""\
# The machine code of kernels: template, card, kernel; registers a thread, bytes of shared memory a
# block, bytes spilled, the share of warps in flight; instructions of the main loop (of the kernel,
# where it has none), behind a bar those of a usual turn, which does all that is copied and
# multiplied but nothing rare; and which there are in the loop, with boxes (UTMALDG) of the whole
# kernel, which other threads bring. Versions of the compiler may differ
# by {REGISTERS} registers, by {OCCUPANCY} of occupancy, and by {SHARE} of a loop in what an
# instruction's share of it is.
"""


@dataclass(frozen=True)
class Figures:
    """A row of the table."""

    registers: int
    shared_bytes: int
    spilled_bytes: int
    occupancy: float
    length: int
    usual: int
    instructions: Mapping[str, int]

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in self.instructions.items())
        usual = f"|{self.usual}" if self.usual != self.length else ""
        return (
            f"{self.registers:3} {self.shared_bytes:6} {self.spilled_bytes} {self.occupancy:.2f}"
            f" {self.length:4}{usual}: {told}"
        ).rstrip()

    @staticmethod
    def parse(text: str) -> Figures:
        numbers, _, told = text.partition(":")
        registers, shared, spilled, share, lengths = numbers.split()
        length, _, usual = lengths.partition("|")
        pairs = (part.split() for part in told.split(",") if part.strip())
        instructions = {name: int(count) for name, count in pairs}
        return Figures(
            int(registers), int(shared), int(spilled), float(share), int(length),
            int(usual or length), instructions,
        )  # fmt: skip

    def complaints(self, kept: Figures) -> list[str]:
        """What is not as it was kept, beyond what a compiler's version may change."""
        found: list[str] = []
        if abs(self.registers - kept.registers) > REGISTERS:
            found.append(f"{self.registers} registers, {kept.registers} are kept")
        if (self.shared_bytes, self.spilled_bytes) != (kept.shared_bytes, kept.spilled_bytes):
            found.append(f"{self.shared_bytes} bytes shared, {self.spilled_bytes} spilled")
        if abs(self.occupancy - kept.occupancy) > OCCUPANCY:
            found.append(f"occupancy {self.occupancy:.2f}, {kept.occupancy} is kept")
        for name in {**self.instructions, **kept.instructions}:
            now, then = self.share(name), kept.share(name)
            if abs(now - then) > SHARE or (now == 0) != (then == 0):
                found.append(f"{name} is {now:.2f} of the main loop, {then:.2f} is kept")
        return found

    def share(self, *names: str) -> float:
        return sum(self.instructions.get(name, 0) for name in names) / self.length

    def usual_share(self, name: str) -> float:
        """Of what is multiplied or copied, which every usual turn does."""
        return self.instructions.get(name, 0) / self.usual


Rows = dict[tuple[str, str, str], Figures]  # by template, architecture and kernel


def kept_rows() -> Rows:
    found: Rows = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            template, architecture, kernel, rest = line.split(maxsplit=3)
            found[template, architecture, kernel] = Figures.parse(rest)
    return found


def write_rows(rows: Rows) -> None:
    lines = [HEADER]
    for (template, architecture, kernel), figures in sorted(rows.items()):
        lines.append(f"{template:17} {architecture:6} {kernel:41} {figures}\n")
    TABLE.write_text("".join(lines))


Kernels = Sequence[tuple[str, CudaKernel]]  # with the names of their templates


def kernels_of(name: str) -> Kernels:
    """The kernels of each template for a card."""
    found: list[tuple[str, CudaKernel]] = []
    for fn in TEMPLATES:
        target = card(name, factors=FACTORS.get(fn.name, "f32"))
        kernels = CudaSource.of(planned(fn, target)[0], target).kernels
        found += [(fn.name, kernel) for kernel in kernels.values()]
    return found


def unit_of(kernels: Kernels) -> str:
    """Kernels as one source, as a start of the compiler takes longer than a kernel."""
    texts = [
        re.sub(rf"\b{kernel.name}\b", f"{template}__{kernel.name}", kernel.source)
        for template, kernel in kernels
    ]
    wrappers, functions = needed("\n".join(texts))
    shared = [*(WRAPPERS[name] for name in wrappers), *(FUNCTIONS[name] for name in functions)]
    return "\n\n".join([*shared, *texts])


def measured(binary: Binary, kernels: Kernels, gpu: Gpu) -> Rows:
    """The figures of kernels, with their templates."""
    found: Rows = {}
    asked = {f"{template}__{kernel.name}": kernel.shared_bytes for template, kernel in kernels}
    used, listed = binary.usage_with(asked), listings(sass_text(binary))
    architecture = ARCHITECTURES[gpu.architecture.rstrip("a")]
    for template, kernel in kernels:
        name = f"{template}__{kernel.name}"
        usage, loop = used[name], listed[name].main_loop()
        every = counts(loop)
        every[BOX] = counts(listed[name].code)[BOX]
        found[template, architecture, kernel.name] = Figures(
            usage.registers,
            usage.shared_bytes,
            usage.spilled_bytes,
            round(occupancy(usage, prod(kernel.block), gpu), 2),
            len(loop),
            len(listed[name].usual_turn()),
            {told: every[told] for told in TOLD if every[told]},
        )
    return found


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def rows(request: pytest.FixtureRequest, disassembler: None) -> Rows:
    """What the compiler makes for one card of all templates."""
    gpu = card(request.param).gpu
    assert gpu is not None
    found: Rows = {}
    kernels = kernels_of(request.param)
    for asks in (False, True):  # what one asks for at its launch aligns the memory of all others
        own = [pair for pair in kernels if (pair[1].shared_bytes > 0) is asks]
        binary = compile_source(unit_of(own), ARCHITECTURES[request.param], strict=True)
        found |= measured(binary, own, gpu) if own else {}
    return found


def test_machine_code_is_as_it_was_kept(rows: Rows, request: pytest.FixtureRequest) -> None:
    kept = kept_rows()
    (architecture,) = {architecture for _, architecture, _ in rows}
    if request.config.getoption("--update-golden", default=False):
        others = {key: row for key, row in kept.items() if key[1] != architecture}
        write_rows({**others, **rows})
        kept = kept_rows()
    assert rows.keys() == {key for key in kept if key[1] == architecture}
    wrong = [
        f"{' '.join(key)}: {complaint}"
        for key, row in rows.items()
        for complaint in row.complaints(kept[key])
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_spilled(rows: Rows) -> None:
    assert not [key for key, row in rows.items() if row.spilled_bytes or row.share("LDL", "STL")]


# What share of the main loop the products themselves are, at least.
PRODUCTS = {
    "product_f32": ("FFMA", 0.87),
    "linear_f32": ("FFMA", 0.87),
    "product_bf16": ("HMMA", 0.6),
    "product_bf16_odd": ("HMMA", 0.6),
    "linear_f16": ("HMMA", 0.6),
    "product_rounded": ("HMMA", 0.6),
    "product_tf32": ("HMMA", 0.6),
    "layers_tf32": ("HMMA", 0.6),  # the second, of what the first has rounded
    # Where rounding beforehand does not pay: for 32 products of eight terms of TF32 a lane rounds
    # sixteen elements of either operand, each by two instructions, as infinities and NaN stay as
    # they are. A product keeps its quarter of a multiprocessor busy for eight cycles (sm_80), in
    # which as many instructions begin.
    "linear_tf32": ("HMMA", 0.27),
    # Convolutions, whose warps have 64 places by 64 filters, of 64 filters by two warps alone: 64
    # products need 16 loads of fragments and 12 copies (of TF32 as many), and for 8 of these a test
    # of the tap and an address: 0.59. The rest finds the tap of the step, waits, and does nothing
    # (three instructions at each barrier). Of 256 filters there are 8 copies, 4 with a test: 0.67.
    # A product of bf16 takes eight cycles of its quarter of a multiprocessor (sm_80), by `mma`
    # on sm_90 some three, in which as many instructions begin: fewer than that are beside it.
    "conv_bf16": ("HMMA", 0.46),
    "conv_strided": ("HMMA", 0.51),
    "conv_tf32": ("HMMA", 0.43),
    "conv_f32": ("FFMA", 0.6),
}


# As many other instructions a warp can begin while one product by warpgroups lasts, which is of 256
# columns but where filters are fewer.
LASTING = {"conv_bf16": 32, "conv_tf32": 32}

# Of attention in a usual turn, in which sums do not shrink. The least there is for 64 keys of depth
# 64 and 32 queries: 136 products (8 of totals), 64 each of FFMA and MUFU for the weights, 32 that
# make pairs of these narrow, 32 of logic that look for a rise, 32 loads of fragments, 8 copies:
# 0.37. Of depth 128 there are half as many keys: 132 products, 32 FFMA, 32 MUFU, 16, 16, 48 and 8:
# 0.46. The rest are addresses, which would fill registers if they were kept.
ATTENTION = {
    ("attention_bf16", "blocked_attention_kernel"): ("HMMA", 0.29),
    ("attention_f16", "blocked_attention_kernel"): ("HMMA", 0.36),
    ("attention_f32", "blocked_attention_kernel"): ("FFMA", 0.9),
    # Weights take FFMA and MUFU, their changes FMUL, and each pair of either one more.
    ("attention_grad", "blocked_attention_gradient_1_kernel"): ("HMMA", 0.3),
    ("attention_grad", "blocked_attention_gradient_2_kernel"): ("HMMA", 0.26),
    ("attended_f32_grad", "blocked_attention_gradient_1_kernel"): ("FFMA", 0.85),
    ("attended_f32_grad", "blocked_attention_gradient_2_kernel"): ("FFMA", 0.85),
}

# Cycles of the products of 64 queries and 128 keys, in which each warp begins as many instructions:
# those of 64 rows, so many columns and 16 terms take half as many cycles. Of heads of 64 there are
# as many as a turn has instructions, 192 of them MUFU, FFMA and FMNMX, a weight each.
BY_WARPGROUPS = {"attention_bf16": 4 * 64 + 8 * 32, "attention_f16": 8 * 64 + 8 * 64}


def test_main_loops_of_attention_multiply(rows: Rows) -> None:
    seen = {(template, kernel): row for (template, _, kernel), row in rows.items()}
    for key, (name, least) in ATTENTION.items():
        row = seen[key]
        if "HGMMA" in row.instructions:
            assert row.usual <= BY_WARPGROUPS[key[0]] and row.instructions[BOX] > 0, key
            continue
        assert (row.usual_share(name) if name == "HMMA" else row.share(name)) >= least, key


def test_main_loops_of_products_multiply(rows: Rows) -> None:
    before = re.compile(r"_(turn|round)(_\d+)?_kernel$")  # what is done to factors
    kernels = {
        key: row for key, row in rows.items() if "matmul" in key[2] or "panel_conv" in key[2]
    }
    seen = {key[0]: row for key, row in kernels.items() if not before.search(key[2])}
    for template, (name, least) in PRODUCTS.items():
        row = seen[template]
        lasting = row.instructions.get("HGMMA", 0) * LASTING.get(template, 128)
        assert row.share(name) >= least or lasting > row.length, template
