"""Recipes for matrix products on a CPU.

    gemm.py             register tiles (`tiling.py`), ordered for caches and threads; `ahead.py`
                        prefetches what they read
    long_sums.py        few results with long sums, as gradients of weights: in blocks of terms
    dots.py             the same with instructions that sum neighbouring products of narrow numbers
    matrices.py         narrow numbers in matrix registers, if `matrix_operands.py` finds that the
                        operands lie as instructions take them
    inner.py            both operands along what is summed: sums are vectors
    gated.py            parts of the columns with what becomes of them, a block at a time
"""
