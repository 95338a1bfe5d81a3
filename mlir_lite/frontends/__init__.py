"""Doors into the compiler: readers of foreign formats."""
