"""The benchmark: workloads defined once, run by this compiler and by others, in one table."""
