"""Recipes that choose schedule steps by the figures of a target."""

from .recipes import schedule

__all__ = ["schedule"]
