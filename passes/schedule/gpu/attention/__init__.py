"""Attention on cards: blocks of queries, by warps on fragments or lanes in registers."""
