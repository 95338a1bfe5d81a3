"""Kernels of Tile IR as LLVM functions: statements, expressions, accesses, registers."""
