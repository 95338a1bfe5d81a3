"""Recipes that choose schedule steps by the figures of a target."""
