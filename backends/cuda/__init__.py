"""The CUDA backend: a Program becomes CUDA C++ source that needs no header."""
