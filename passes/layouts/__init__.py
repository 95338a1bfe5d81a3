"""Passes that choose how arrays lie in memory: orders of axes, panels of packed weights."""
