"""Boxes of a directed graph in layers from the top down, so that no wire runs over a box.

The method is that of K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of
hierarchical system structures", IEEE Trans. SMC 11 (1981): layers, by networkx' topological
generations; bends where a wire passes a layer; an order within each layer by barycentres; and
places nearest to the neighbours', by isotonic regression (pool adjacent violators), which keeps
order and distances.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from .cells import Cell, Size, heights, ordered, put, reach, straighten

_BEND_WIDTH = 10.0


@dataclass(frozen=True)
class Link:
    """From the bottom of a box to the top of another; where it leaves and enters, from the
    centres. Links of one `value` share the bends that they pass."""

    source: str
    target: str
    value: Hashable
    leaves: float = 0.0
    enters: float = 0.0


@dataclass(frozen=True)
class Spot:
    """Where a box, or a bend, is: its centre, and the upper and lower end of its layer."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Arrangement:
    """The places of all boxes, and the bends of each link, in points from the upper left."""

    spots: Mapping[str, Spot]
    bends: Mapping[Link, tuple[Spot, ...]]
    width: float
    height: float


def arrange(
    sizes: Mapping[str, Size],
    links: Sequence[Link],
    *,
    first: Iterable[str] = (),
    last: Iterable[str] = (),
) -> Arrangement:
    """Places for boxes of these sizes; those of `first` stay in the top layer, those of `last` in
    the one at the bottom."""
    ranks = _ranks(sizes, links, set(first), set(last))
    spine = _spine(links)
    cells = {key: Cell(size, straight=key in spine) for key, size in sizes.items()}
    layers: list[list[Cell]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for key, rank in ranks.items():
        layers[rank].append(cells[key])
    passed = _thread(links, ranks, cells, layers)
    layers = ordered(layers)
    put(layers)
    straighten(layers, passed.values())
    tops = heights(layers)
    where = {
        cell: (top, top + max(each.size.height for each in layer))
        for top, layer in zip(tops, layers, strict=True)
        for cell in layer
    }
    left = min((cell.x - cell.size.width / 2 for cell in where), default=0.0)
    widest = max((cell.x + reach(cell) for cell in where), default=0.0)
    spots = {key: Spot(cell.x - left, *where[cell]) for key, cell in cells.items()}
    bends = {
        link: tuple(Spot(cell.x - left, *where[cell]) for cell in through)
        for link, through in passed.items()
    }
    height = max((end for _, end in where.values()), default=0.0)
    return Arrangement(spots, bends, widest - left, height)


def _spine(links: Sequence[Link]) -> frozenset[str]:
    """The boxes of a longest path, which is drawn as straight as can be."""
    graph = nx.DiGraph((link.source, link.target) for link in links)
    return frozenset(nx.dag_longest_path(graph, weight=""))


def _ranks(
    sizes: Mapping[str, Size], links: Sequence[Link], first: set[str], last: set[str]
) -> dict[str, int]:
    """The layer of each box: as low as its readers allow; what nobody reads just below its own."""
    graph = nx.DiGraph()
    graph.add_nodes_from(key for key in sizes if key not in first | last)
    graph.add_edges_from(
        (link.source, link.target)
        for link in links
        if link.source in graph and link.target in graph
    )
    generations = list(nx.topological_generations(graph.reverse()))
    start = 1 if first else 0
    ranks = {
        key: start + rank
        for rank, layer in enumerate(reversed(generations))
        for key in layer
    }
    for key in nx.topological_sort(graph):
        above = [ranks[source] for source in graph.predecessors(key)]
        if graph.out_degree(key) == 0:
            ranks[key] = max(above, default=start - 1) + 1
    bottom = start + len(generations)
    return {key: 0 if key in first else bottom if key in last else ranks[key] for key in sizes}


def _thread(
    links: Sequence[Link],
    ranks: Mapping[str, int],
    cells: Mapping[str, Cell],
    layers: Sequence[list[Cell]],
) -> dict[Link, list[Cell]]:
    """Put bends into the layers that links pass, and tell all cells their neighbours."""
    bends: dict[tuple[Hashable, int], Cell] = {}
    passed: dict[Link, list[Cell]] = {}
    joined: set[tuple[Cell, Cell]] = set()
    for link in links:
        through: list[Cell] = []
        for rank in range(ranks[link.source] + 1, ranks[link.target]):
            key = (link.value, rank)
            if key not in bends:
                bends[key] = Cell(Size(_BEND_WIDTH, 0.0), straight=True)
                layers[rank].append(bends[key])
            through.append(bends[key])
        passed[link] = through
        chain = [cells[link.source], *through, cells[link.target]]
        for place, (upper, lower) in enumerate(pairwise(chain)):
            leaves = link.leaves if place == 0 else 0.0
            enters = link.enters if place == len(through) else 0.0
            if (upper, lower) not in joined or leaves or enters:
                joined.add((upper, lower))
                upper.down.append((lower, leaves, enters))
                lower.up.append((upper, enters, leaves))
    return passed
