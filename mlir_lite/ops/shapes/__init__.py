"""Tensors made, reshaped, cut, joined and rearranged; elements read and written at indices."""
