"""The cost model: the cycles of the ways to compute something, and which way to take.

Recipes and passes ask here which way to take. The answer is the one of the fewest cycles, unless
the target's tuning record has measured another: `decide` in `model.py`, which also has what is
asked of any product, and from which work on threads are worth it.

    register_tiles.py   cycles of a product by its register tile: the machine model
    inner.py            tiles of products both operands of which lie along what is summed
    lanes.py            whether lanes are columns of a product, or terms of its sums
    matrix_tiles.py     cycles of a product in matrix registers
    depth.py            blocks of the terms of long sums
    segments.py         how long sums grow before they are cut, for their errors' sake
    memory.py           what memory decides: streams, rows in flight, prefetches, stores past caches
    windows.py          tiles of small windows; the order of a convolution's axes
    taps.py             sums for each tap of a window: their pieces and blocks
    winograd.py         direct or by Winograd's algorithm, in which blocks (`conv_sizes.py`)
    strassen.py         whole or as seven products of halves
    joined.py           products of one input apart, or as one
    attention.py        blocks of queries and keys
    turns.py            what a loop's turns find in a cache, and compute while they wait

Choices on graphics cards that weigh cuts against each other are in `gpu/`, beside the recipes:
`gpu/products/tiles.py`, `gpu/attention/tiles.py`, `gpu/products/conv_cost.py`.
"""
