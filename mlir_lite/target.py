"""What the compiler knows of a machine: figures that passes and recipes choose by."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import UnsupportedError
from .tuning import Chooser, Tuning
from .types import DTYPES, DType


@dataclass(frozen=True)
class Gpu:
    """A graphics card's figures, from NVIDIA's programming guide, table "compute capabilities"."""

    capability: int  # 90 is 9.0
    multiprocessors: int  # of the largest card
    threads: int  # that a multiprocessor keeps in flight
    shared_bytes: int  # that one block may use, if it asks for them
    warp: int = 32
    blocks: int = 32  # that a multiprocessor keeps in flight
    block_threads: int = 256  # enough to hide latencies, few enough to leave each registers
    static_shared_bytes: int = 48 << 10  # that a block may use without asking
    warpgroup_products: bool = False  # wgmma: of matrices in shared memory, by four warps
    factors: str = "f32"  # what factors of f32 products are rounded to: "tf32", "bf16" or "f16"

    @property
    def narrow_factors(self) -> DType | None:
        """The narrow type that factors of f32 products are rounded to, if it is one."""
        return DTYPES[self.factors] if self.factors in ("bf16", "f16") else None

    @property
    def architecture(self) -> str:
        """As the compilers of CUDA spell it."""
        return f"sm_{self.capability}"


@dataclass(frozen=True)
class Target:
    """A target's figures. Bytes for sizes; `peak_flops` and bandwidths, of reading, per core and
    second."""

    name: str  # as the user spells it: "cpu", "cpu:haswell", "cuda:sm_90"
    cpu: str = ""  # LLVM's name; empty for the host's
    vector_bytes: int = 64
    vector_registers: int = 32
    has_fma: bool = True
    l1_bytes: int = 48 << 10
    l2_bytes: int = 1 << 20
    l3_bytes: int = 32 << 20
    peak_flops: float = 265e9
    l2_bandwidth: float = 240e9
    l3_bandwidth: float = 120e9
    memory_bandwidth: float = 40e9
    read_streams: int = 4  # places of memory that one core reads fastest when it reads all at once
    followed_rows: int = 8  # rows read side by side that a core fetches ahead without being asked
    asked_places: int = 1  # of memory, where one core asks for them ahead: beyond what it follows
    parallel_cycles: int = 30_000  # of work below which threads cost more than they give
    threads: int = 1
    dot_instructions: frozenset[str] = frozenset()  # of `tile/instructions`
    matrix_products: frozenset[str] = frozenset()  # of `tile/instructions/matrices`
    gpu: Gpu | None = None  # of a graphics card, whose other figures are for the whole of it
    tuning: Chooser = Tuning()  # answers that come before those of the cost model

    @property
    def has_avx512(self) -> bool:
        """Whether vectors are those of AVX-512, with its masks."""
        return self.vector_bytes == 64

    @property
    def instructions(self) -> frozenset[str]:
        """What its kernels may call of `tile/instructions`."""
        return self.dot_instructions | self.matrix_products

    def lanes(self, dtype: DType) -> int:
        """Elements of this type in one vector register."""
        return max(1, self.vector_bytes // dtype.bytes)


_NAMED = {
    "avx512": Target("cpu:avx512"),
    "sapphirerapids": Target(
        "cpu:sapphirerapids",
        "sapphirerapids",
        l2_bytes=2 << 20,
        dot_instructions=frozenset({"vpdpbusd", "vpdpbf16ps"}),
        matrix_products=frozenset({"tdpbusd", "tdpbf16ps"}),
    ),
    "haswell": Target("cpu:haswell", "haswell", 32, 16, peak_flops=100e9, l2_bytes=256 << 10),
    "x86-64": Target("cpu:x86-64", "x86-64", 16, 16, has_fma=False, peak_flops=25e9),
    "aarch64": Target("cpu:aarch64", "generic", 16, 32, peak_flops=50e9, l1_bytes=64 << 10),
}


_CACHE_SPEED = 3  # of what all multiprocessors share, to memory's
_CARDS = {
    "sm_80": (Gpu(80, 108, 2048, 163 << 10), 19.5e12, 1.6e12, 40 << 20),
    "sm_86": (Gpu(86, 84, 1536, 99 << 10, blocks=16), 38e12, 0.77e12, 6 << 20),
    "sm_89": (Gpu(89, 128, 1536, 99 << 10, blocks=24), 82e12, 1.0e12, 72 << 20),
    "sm_90": (Gpu(90, 132, 2048, 227 << 10, warpgroup_products=True), 67e12, 3.3e12, 50 << 20),
    "sm_100": (Gpu(100, 148, 2048, 227 << 10), 75e12, 8.0e12, 126 << 20),
    "sm_120": (Gpu(120, 170, 1536, 99 << 10, blocks=24), 104e12, 1.8e12, 96 << 20),
}


def named_target(name: str) -> Target | None:
    """The figures of `cpu:NAME` or `cuda:sm_NN`; None for plain `cpu`, whose figures the backend
    asks the host."""
    kind, _, model = name.partition(":")
    if kind == "cuda":
        return _card(name, model)
    if kind != "cpu":
        raise UnsupportedError(f"no backend for the target '{name}'; there are 'cpu' and 'cuda'")
    if not model:
        return None
    if model not in _NAMED:
        have = ", ".join(f"cpu:{known}" for known in _NAMED)
        raise UnsupportedError(f"unknown target '{name}'; known are cpu, {have}")
    return _NAMED[model]


def named_targets() -> tuple[str, ...]:
    """The names that `named_target` has figures for."""
    return (*(f"cpu:{name}" for name in _NAMED), *(f"cuda:{name}" for name in _CARDS))


def nearest_card(capability: int) -> str:
    """The target whose code a card runs best, by its capability (90 is 9.0): its own, or that of
    the next lower one known."""
    known = [model for model, (gpu, *_) in _CARDS.items() if gpu.capability <= capability]
    if not known:
        raise UnsupportedError(
            f"the card here is sm_{capability}; the oldest that is known is {next(iter(_CARDS))}"
        )
    return f"cuda:{known[-1]}"


def _card(name: str, model: str) -> Target:
    if model not in _CARDS:
        have = ", ".join(f"cuda:{known}" for known in _CARDS)
        raise UnsupportedError(f"unknown target '{name}'; known are {have}")
    gpu, flops, bandwidth, cache = _CARDS[model]
    return Target(
        name,
        vector_bytes=16,  # of one access of one thread
        vector_registers=255,
        l1_bytes=gpu.shared_bytes,
        l2_bytes=cache,
        l3_bytes=cache,
        peak_flops=flops,
        l2_bandwidth=_CACHE_SPEED * bandwidth,
        l3_bandwidth=_CACHE_SPEED * bandwidth,
        memory_bandwidth=bandwidth,
        gpu=gpu,
    )
