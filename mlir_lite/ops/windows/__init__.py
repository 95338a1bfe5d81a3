"""Convolutions and poolings: operations that see their operand through windows."""
