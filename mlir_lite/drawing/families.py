"""Families of operations, the rooms of `ops` that their classes lie in, and their colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..ir import Op

OWN = "own"  # of operations from elsewhere


class Colours(NamedTuple):
    """Of a box: its face and its edge; text on both is dark."""

    face: str
    edge: str


# Those that take time come first: a closed group has the colour of the first that is in it.
COLOURS: Mapping[str, Colours] = {
    "products": Colours("#cfe2f8", "#3b78b8"),
    "windows": Colours("#d9d6f7", "#6157b5"),
    "algorithms": Colours("#cdd9f5", "#4560b0"),
    "nn": Colours("#ecd5f0", "#93489f"),
    "linalg": Colours("#c9ebe8", "#2f8a83"),
    "sparse": Colours("#d2efe0", "#2f8a5c"),
    "sorting": Colours("#f8dcc9", "#b5652f"),
    "images": Colours("#f5d9e6", "#b04a7c"),
    "random": Colours("#f7e3ea", "#b0607c"),
    "reductions": Colours("#fbe3bd", "#b8801f"),
    OWN: Colours("#ffffff", "#555555"),
    "elementwise": Colours("#d8efcb", "#5a9440"),
    "shapes": Colours("#e6e8ea", "#7c858d"),
    "regions": Colours("#f7f4ec", "#a79d86"),
    "input": Colours("#ffffff", "#33414e"),
    "result": Colours("#33414e", "#33414e"),
}


def family_of(op: Op) -> str:
    """The room of `ops` that an operation's class lies in."""
    package, _, inside = type(op).__module__.partition(".ops.")
    room = inside.partition(".")[0].replace("base", "shapes")
    return room if package == __package__.partition(".")[0] and room in COLOURS else OWN


def main_family(ops: Iterable[Op]) -> str:
    """The family of what takes most time among operations, by the order of the colours."""
    found = {family_of(op) for op in ops}
    return next((family for family in COLOURS if family in found), OWN)
