"""Networks on graphs, which are sparse matrices: PageRank finds who matters in a karate club, a
graph convolution (Kipf and Welling, 2017) who followed whom when it split, from two members' sides.

    python examples/15_graph.py
"""

import networkx as nx
import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32

HIDDEN, STEPS, RATE, FOLLOWS = 16, 200, 0.5, 0.85


def pagerank(links: ml.sparse.Csr) -> ml.Executable:
    """Where a surfer is in the end who follows links, and now and then starts anew."""
    nodes = int(links.shape[0])

    @ml.function()
    def rank() -> Value:
        steps = (links / links.sum(1).reshape(nodes, 1)).T  # column j: where j leads

        def unsettled(state: tuple[Value, Value]) -> Value:
            return ml.absolute(state[0] - state[1]).sum() > 1e-6

        def follow(state: tuple[Value, Value]) -> tuple[Value, Value]:
            return FOLLOWS * (steps @ state[0]) + (1 - FOLLOWS) / nodes, state[0]

        start = ml.full((nodes,), 1 / nodes)
        here, _ = ml.while_loop(unsettled, follow, (start, ml.zeros_like(start)))
        return here

    return ml.compile(rank)


def network(links: ml.sparse.Csr) -> tuple[ml.Function, ml.Function]:
    """Both layers average over neighbours; a step of descent on the two members that are known."""
    nodes = int(links.shape[0])
    weights = f32[nodes, HIDDEN], f32[HIDDEN, 2]

    @ml.function(*weights)
    def scores(u: Value, v: Value) -> Value:
        share = ml.rsqrt(links.sum(1))
        near = links * share * share.reshape(nodes, 1)
        return near @ (ml.tanh(near @ u) @ v)  # a member's only feature is who it is

    @ml.function(*weights)
    def loss(u: Value, v: Value) -> Value:
        known = scores(u, v)[np.array([0, nodes - 1])]
        return ml.cross_entropy(known, np.array([0, 1]))

    @ml.function(*weights)
    def step(u: Value, v: Value) -> tuple[Value, Value]:
        slopes = ml.grad(loss)(u, v)
        assert isinstance(slopes, tuple)
        return u - RATE * slopes[0], v - RATE * slopes[1]

    return scores, step


def main() -> None:
    club = nx.karate_club_graph()
    friends = nx.to_numpy_array(club, weight=None, dtype=np.float32)
    ranks = np.asarray(pagerank(ml.sparse.csr(friends))())
    print("who matters:", np.argsort(-ranks)[:3], "ranks sum to", round(float(ranks.sum()), 3))

    scores, step = network(ml.sparse.csr(friends + np.eye(len(friends), dtype=np.float32)))
    random = np.random.default_rng(0)
    u, v = (random.normal(0, 0.3, p.type.static_shape).astype(np.float32) for p in scores.params)
    descend = ml.compile(step)
    for _ in range(STEPS):
        u, v = descend(u, v)
    found = np.argmax(np.asarray(ml.compile(scores)(u, v)), 1)
    sides = np.array([club.nodes[member]["club"] != "Mr. Hi" for member in club])
    print(f"on the side they took: {int((found == sides).sum())} of {len(sides)} members")


if __name__ == "__main__":
    main()
