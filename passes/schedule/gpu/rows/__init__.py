"""Reductions of rows on cards: softmax, norms and sums by lanes of a warp, or by a block."""
