"""Reductions of rows on cards: softmax, norms and sums by lanes of a warp, or by a block.

    reductions.py       rows that a nest reduces, found; cut where a sum ends by `segments.py`
    statistics.py       sums of which one needs what another found, as one reduction
    shares.py           how rows are dealt to threads, and what of them registers keep
    lanes.py            the kernel: what lanes hold (`registers.py`), the warps (`warps.py`), runs
                        of neighbours whose states are had at once (`runs.py`)
    pieces.py           few long rows in pieces, so that all of a card reads them
"""
