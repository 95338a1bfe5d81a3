"""The CPU backend: LLVM text, just-in-time compiled through llvmlite."""
