"""Transformations of the graph IR, lowering to Tile IR, memory planning and schedules."""
