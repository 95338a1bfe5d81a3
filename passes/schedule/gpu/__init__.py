"""Recipes for graphics cards: kernels of one shape, blocks of threads.

    block b in 0..n: thread t in 0..256: {..;  sync block;  ..}

`recipes.py` cuts a naive kernel into launches and gives each the first recipe that it is fit for:

    block/marked.py     kernels that say what the threads of a block do at once
    products/           products in tiles: by threads, by warps, by warpgroups (`recipe.py`)
    scatters.py         updates at places that are data
    running.py          running totals
    transposed.py       transposes through shared memory; `transposed_wide.py` by wide accesses
    window_tiles.py     depthwise convolutions, pools, as `windows.py` finds them
    rows/               softmax, norms and sums of rows by lanes (`lanes.py`), in pieces if few
    columns.py          sums of columns, in pieces by `column_pieces.py`
    grid.py             independent iterations, a thread each
    block/recipe.py     iterations whose work a block shares: the general fall-back

Nests that cannot share a launch are cut apart by `phases.py`, and one long sum by `long_sums.py`.
Kernels of attention and of its gradients are written by hand in `attention/` and
`attention_gradients/`; what follows them is stored in runs by `stored_runs.py`. `work.py` answers
what recipes ask of a kernel, `wide.py` has runs of neighbours that a thread moves at once, and
`held.py` what it reads, computes and stores of them.
"""

from .recipes import holds_rows, is_as_fast, schedule_launches

__all__ = ["holds_rows", "is_as_fast", "schedule_launches"]
