"""Checks of kernels and programs, a kind of fault a file; `verify.py` has the entrances."""
