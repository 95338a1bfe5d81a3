"""Recipes that choose schedule steps by the figures of a target."""

from .recipes import schedule
from .cost import choose_tile

__all__ = ["choose_tile", "schedule"]
