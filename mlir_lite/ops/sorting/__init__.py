"""The order of elements along an axis, and what is at a place in it."""
