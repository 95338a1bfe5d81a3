"""The Python front door: tracing functions, nn modules, named sizes given their values."""

from . import nn
from .function import function
from .inputs import named_arrays
from .parse import parse
from .specialise import solve_sizes, specialise

__all__ = ["function", "named_arrays", "nn", "parse", "solve_sizes", "specialise"]
