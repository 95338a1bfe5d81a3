"""Matrix products on cards: found in a nest, cut into tiles, multiplied by threads or warps.

    contraction.py      a sum of products, found in a nest; `groups.py` for convolutions in groups
    tiles.py            how it is cut: the estimate of time that all choices are made by, with
                        `warpgroup_tile.py`, and `conv_cost.py` for Winograd against direct
    recipe.py           which kernel it becomes, and what comes before and after it
    rounding.py         factors that are rounded or turned once, before
    threads.py          the kernel of threads that multiply
    warps.py            the kernel of warps, by instructions on fragments
    warpgroups.py       the kernel of warpgroups that multiply out of shared memory

All three are made of what a block has (`blocks.py`), the tiles of an operand (`operand.py` copied
by threads, `boxes.py` by the copy engine; `patches.py` of convolutions; `standing.py` and
`seen_taps.py` where a row or a term stands), of fragments (`fragments.py`, `warp_tiles.py`), and of
what is done with the sums (`results.py`, `fragment_results.py`).
"""
