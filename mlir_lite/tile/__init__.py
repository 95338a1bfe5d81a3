"""Tile IR: loops, buffers in memory spaces, instructions; schedule steps; the Program."""
