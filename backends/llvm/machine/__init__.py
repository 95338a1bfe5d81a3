"""The machine that code is generated for and runs on: llvmlite, threads, LAPACK's routines."""
