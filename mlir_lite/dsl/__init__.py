"""The Python front door: tracing functions, nn modules, derivatives, named sizes given
their values."""

from . import nn
from .derivatives import grad, jvp, value_and_grad, vjp
from .function import function
from .inputs import named_arrays
from .parse import parse
from .specialise import solve_sizes, specialise

__all__ = [
    "function",
    "grad",
    "jvp",
    "named_arrays",
    "nn",
    "parse",
    "solve_sizes",
    "specialise",
    "value_and_grad",
    "vjp",
]
