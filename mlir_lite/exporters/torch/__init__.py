"""Functions as programs of PyTorch: each operation as the calls that PyTorch has for it.

    program = ml.to_torch(classifier)
    print(program.code)                     # matmul = torch.matmul(x, w) …
    (y,) = program(x, w, b)                 # of tensors; torch.compile(program) takes it whole

The modules of this package load torch, which takes a second, so that this one does not load them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...errors import missing_extra
from ...ir import Function


def to_torch(fn: Function, device: str = "cpu") -> Any:  # a torch.fx.GraphModule
    """A function of known sizes as a module of torch, its constants on `device`.

    It takes tensors in the order of the parameters, and gives a tuple of the results. An operation
    that torch does not have is made of those that it is defined by; `UnsupportedError` names all
    for which there is nothing, `MissingExtraError` says how to install torch.
    """
    try:
        import_module("torch")
    except ImportError:
        raise missing_extra("torch", "torch") from None
    return import_module(".program", __package__).program_of(fn, device)
