"""CUDA C++ source of a Program: kernels, shared functions, wrappers, the host's part."""
