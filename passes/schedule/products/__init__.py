"""Recipes for matrix products on a CPU, in register tiles."""
