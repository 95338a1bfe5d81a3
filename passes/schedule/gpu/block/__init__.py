"""Iterations whose work a block of a card shares: sums, shared memory, barriers."""
