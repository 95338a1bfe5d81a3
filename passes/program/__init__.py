"""Changes of a program whose kernels are scheduled: what no kernel can know by itself.

Each file is one change, its docstring shows the program before and after; `changes.py` lists them
in order. `variants.py` has the changed copies of kernels that they make, `rows_taken.py` finds the
products that two of them take into loops.
"""
