"""Emission rules of the scalar functions and conversions of the table in `expr/functions.py`."""
