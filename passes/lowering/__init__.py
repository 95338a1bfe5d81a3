"""From a function of groups to a program of kernels: naive kernels, loops, slots."""
