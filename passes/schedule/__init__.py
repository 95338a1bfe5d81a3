"""Recipes that choose schedule steps by the figures of a target."""

from .launches import Launches, launches
from .recipes import schedule

__all__ = ["Launches", "launches", "schedule"]
