"""The Python front door: tracing functions, nn modules, derivatives, named sizes given
their values."""

from . import nn
from .checkpoint import checkpoint
from .control import cond, scan, while_loop
from .ctc import ctc_loss
from .derivatives import grad, jvp, value_and_grad, vjp
from .function import function, trace
from .inputs import named_arrays
from .parse import parse
from .specialise import solve_sizes, specialise

__all__ = [
    "checkpoint",
    "cond",
    "ctc_loss",
    "function",
    "grad",
    "jvp",
    "named_arrays",
    "nn",
    "parse",
    "scan",
    "solve_sizes",
    "specialise",
    "trace",
    "value_and_grad",
    "vjp",
    "while_loop",
]
