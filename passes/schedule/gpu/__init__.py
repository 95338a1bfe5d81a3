"""Recipes for graphics cards: kernels of one shape, threads in blocks.

block b in 0..n: thread t in 0..256: {..;  sync block;  ..}
"""

from .recipes import holds_rows, is_as_fast, schedule_launches

__all__ = ["holds_rows", "is_as_fast", "schedule_launches"]
