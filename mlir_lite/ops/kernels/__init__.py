"""What kernels written by hand are made of: statements, blocks of threads, lanes, memory."""
