"""Changes of a program whose kernels are scheduled: what no kernel can know by itself.

`changes.py` applies them in this order; the docstring of each shows the program before and after.

    resident.py         loops find the arrays that they read in every turn in a cache
    previous_rows.py    a state that is a copy of the row before is read there
    beside.py           products computed in the loop that takes their rows, while it waits
    in_blocks.py        other such products, of too many rows for the caches, a block at a time
    skip_padding.py     convolutions without the taps that see zeros around an image
    prefetch_inputs.py  pads of what is given ask memory for it ahead
    share_moves.py      moves of what threads have just written are dealt to threads, too

`donate.py` then puts results into the memory of parameters that are given away for them.
`variants.py` has the changed copies of kernels that they make, `rows_taken.py` finds the products
that a loop takes the rows of, `interleaved_product.py` cuts one for the kernel beside it.
"""
