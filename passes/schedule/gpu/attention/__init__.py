"""Attention on cards: blocks of queries go through the keys, with a running softmax.

    recipe.py           which kernel: by the types of the factors, and by where they lie
    tiles.py            how it is cut: queries of a block, keys at a time, parts of the keys
    warpgroups.py       the kernel of warpgroups: one brings (`bringing.py`), the others multiply
    warps.py            the kernel of warps that multiply fragments (`fragment_products.py`)
    lanes.py            the kernel of lanes that multiply f32 (`lane_products.py`)
    parts.py            joins what blocks found in parts of the keys

All three are made of where blocks begin (`places.py`), what each has (`blocks.py`, its operands in
`row_tiles.py` or `boxes.py`), which tiles come when (`steps.py`), the softmax
(`running_softmax.py`, `group_softmax.py`) and the means (`means.py`). `keys.py` has blocks of keys,
for the gradients.
"""
