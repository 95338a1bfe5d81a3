"""From naive kernels to fast ones: recipes that choose schedule steps by the figures of a target.

A recipe is a file with two functions: one finds out whether a kernel, or a nest of it, is of its
kind (`as_windows`, `is_blocked`), from loops and accesses, never from a name; the other applies
steps of `mlir_lite/tile/steps/` (`schedule_windows`). The file's docstring shows what comes out.

`recipes.py` gives a kernel for a CPU the first recipe here that it is fit for:

    external.py         loops around calls of C functions: LAPACK
    products/gated.py   a product whose parts of columns meet: the gates of a recurrent cell
    separable.py        windows of each channel, then a product of them: MobileNets' blocks
    blocked.py          nests under common loops, each by its own recipe: attention, Winograd
    ordered.py          iterations that must follow one another: running totals, scatters
    fused.py            elementwise nests over the same elements, in one: an optimiser's step
    rows.py             nests over the same rows: softmax, norms

and `single.py` gives a single nest, alone in its kernel or in a block, the first of these:

    straight_line.py    a body that names values on the way: Winograd's transforms
    transposed.py       elementwise, operands lying the other way round
    elementwise.py      other nests without sums
    windows.py          windows written out: depthwise convolutions, pools
    taps.py             sums for each tap of a window: gradients of depthwise filters
    products/dots.py    products of narrow numbers, by instructions
    stream.py           sums of columns that memory decides: one row by a matrix
    products/long_sums.py   few results with long sums: gradients of weights
    products/gemm.py    products in register tiles, convolutions among them
    products/inner.py   products whose operands both lie along what is summed
    reductions.py       any other reduction: the general fall-back

What comes from memory is prefetched and stored past the caches by `memory_bound.py`. `loops.py` has
steps that many recipes take, `analysis.py` answers what they ask of a kernel, `cost/` which of
several ways takes the fewest cycles.
`launches.py` is the way in for both kinds of targets; the recipes for cards are in `gpu/`.
"""

from .launches import Launches, launches
from .recipes import schedule

__all__ = ["Launches", "launches", "schedule"]
