"""The cost model: cycles of the ways to compute something, and which way to take."""
