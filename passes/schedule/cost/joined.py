"""The cost model's choice whether products of one left factor are one product.

Joined they are dealt to threads once, perhaps where none alone is worth that, and their columns
fill register tiles together; but what reads a part of the result out of place has to copy it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....target import Target
from .matrix_tiles import MatrixSizes, matrix_cycles, uses_matrices
from .model import cache_cycles, decide, near_cycles, panel_width, right_bytes, worth_threads
from .register_tiles import ProductSizes, tiles_by_cycles

START = 300  # cycles in which a kernel begins and ends, as measured
DEALT = 4000  # and one that is dealt to threads, until the last of them is done
THREADS = 2  # at least, where work is dealt out; no result depends on how many there are
DOUBT = 1.005  # how much faster it has to seem: less is not to be measured


@dataclass(frozen=True)
class Joining:
    """Products of one left factor; of their results `copied` bytes would have to be moved for what
    reads them."""

    parts: tuple[ProductSizes, ...]
    copied: int

    def __str__(self) -> str:
        parts = ", ".join(str(part.columns) for part in self.parts)
        return f"{self.whole}, joined of {parts} columns, {self.copied} bytes copied"

    @property
    def whole(self) -> ProductSizes:
        """The product by all columns."""
        return replace(self.parts[0], columns=sum(part.columns for part in self.parts))


def worth_joining(joining: Joining, target: Target) -> bool:
    """Whether such products are computed as one."""
    apart = sum(_elapsed(part, target) for part in joining.parts)
    copies = near_cycles(3 * joining.copied, target) + (2 * START if joining.copied else 0)
    joined = _elapsed(joining.whole, target) + copies
    answers = {"no": apart, "yes": joined * DOUBT}
    return decide(joining, "joined", answers, target) == "yes"


def _elapsed(sizes: ProductSizes, target: Target) -> float:
    """Cycles from the start of a product by packed panels to its end."""
    cycles = max(_cycles(sizes, target), cache_cycles(right_bytes(sizes), target))
    return DEALT + cycles / THREADS if worth_threads(cycles, target) else START + cycles


def _cycles(sizes: ProductSizes, target: Target) -> float:
    """Cycles of its arithmetic on one core."""
    if uses_matrices(sizes, target):
        return min(matrix_cycles(MatrixSizes(sizes, sizes.depth), target).values())
    packed = replace(sizes, panel=panel_width(sizes, target))
    return min(tiles_by_cycles(packed, target).values()) * sizes.depth


