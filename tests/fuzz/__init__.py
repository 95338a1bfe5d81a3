"""Random programs over all families of operations, judged against float64; see `maker`."""
