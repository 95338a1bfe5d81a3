"""Recipes that choose schedule steps by the figures of a target."""

from .cost import choose_tile
from .recipes import schedule

__all__ = ["choose_tile", "schedule"]
