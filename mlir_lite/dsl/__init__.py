"""The Python front door: tracing functions, nn modules, named sizes given their values."""

from .function import function
from .inputs import named_arrays, solve_sizes
from .specialise import specialise

__all__ = ["function", "named_arrays", "solve_sizes", "specialise"]
