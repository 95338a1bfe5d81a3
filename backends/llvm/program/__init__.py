"""A Program as LLVM modules: its kernels, and the function that runs through its steps."""
