"""Doors out of the compiler: writers of foreign programs."""
