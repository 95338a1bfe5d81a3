"""The gradients of attention on cards, in two launches (`recipe.py`): blocks of queries
(`queries.py`), then blocks of keys (`keys.py`). What both have in common is in `work.py`;
`units.py` says what they ask of those who multiply, warps on fragments (`warps.py`) or lanes
(`lanes.py`).
"""
