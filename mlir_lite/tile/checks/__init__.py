"""The verifier: checks of kernels and programs, a kind of fault a file."""
