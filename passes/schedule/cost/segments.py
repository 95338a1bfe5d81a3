"""How long sums grow before their errors would be seen: longer ones are cut in segments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Segments:
    """Sums of more than `longest` terms are sums of segments of so many `terms` each."""

    longest: int
    terms: int


ALONE = Segments(longest=640, terms=512)
# In blocks: what follows adds up several of these sums, whose errors are those of larger numbers.
IN_BLOCKS = Segments(longest=128, terms=128)
