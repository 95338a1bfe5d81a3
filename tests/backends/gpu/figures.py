"""What the cards' machine code of the kernel templates holds, without a card: registers, occupancy,
and the instructions of each kernel's main loop."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from mlir_lite import Function
from mlir_lite.backends.cuda.code.nvrtc import Binary, compile_source
from mlir_lite.backends.cuda.code.occupancy import occupancy
from mlir_lite.backends.cuda.code.sass import counts, listings, sass_text
from mlir_lite.backends.cuda.source.functions import FUNCTIONS
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.backends.cuda.source.wrappers import WRAPPERS, needed
from mlir_lite.target import Gpu

from .compiled import card, planned
from .templates import FACTORS, USUAL
from .turns import cycles

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
    cycles: Mapping[str, float] = field(default_factory=dict, compare=False)  # of a usual turn

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

Kernels = Sequence[tuple[str, CudaKernel]]  # with the names of their templates


def kernels_of(model: str, fns: Sequence[Function]) -> Kernels:
    """The kernels of these templates for a card."""
    found: list[tuple[str, CudaKernel]] = []
    for fn in fns:
        target = card(model, factors=FACTORS.get(fn.name, "f32"))
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
        turn = listed[name].usual_turn()
        every = counts(loop)
        every[BOX] = counts(listed[name].code)[BOX]
        found[template, architecture, kernel.name] = Figures(
            usage.registers,
            usage.shared_bytes,
            usage.spilled_bytes,
            round(occupancy(usage, prod(kernel.block), gpu), 2),
            len(loop),
            len(turn),
            {told: every[told] for told in TOLD if every[told]},
            cycles(turn, architecture),
        )
    return found


def rows_of(model: str, fns: Sequence[Function] = USUAL) -> Rows:
    """What the compiler makes for one card of all templates. `RunError` where it has a warning, or
    spills a register."""
    gpu = card(model).gpu
    assert gpu is not None
    found: Rows = {}
    kernels = kernels_of(model, fns)
    for asks in (False, True):  # what one asks for at its launch aligns the memory of all others
        own = [pair for pair in kernels if (pair[1].shared_bytes > 0) is asks]
        binary = compile_source(unit_of(own), ARCHITECTURES[model], strict=True) if own else None
        found |= measured(binary, own, gpu) if binary else {}
    return found
