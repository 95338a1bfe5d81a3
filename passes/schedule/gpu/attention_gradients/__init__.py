"""The gradients of attention on cards: blocks of queries, then blocks of keys."""
