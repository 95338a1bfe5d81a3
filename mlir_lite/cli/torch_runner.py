"""PyTorch as a runtime of functions, eager or through `torch.compile`, on a CPU or a card.

What runs is the function as `exporters/torch` writes it, without gradients. Of the precisions f32
multiplies f32, tf32 is cuBLAS's and cuDNN's, bf16 and f16 are what autocast makes of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, TypeAlias

from ..errors import MlirLiteError, UnsupportedError, missing_extra
from ..exporters.torch import to_torch
from ..ir import Function
from ..types import Array
from .runners import Call

# Torch is unknown to the checker: its modules and tensors are of any type.
Torch: TypeAlias = Any
Tensor: TypeAlias = Any
TorchCall: TypeAlias = Callable[..., tuple[Tensor, ...]]

# Whether each compiles the function.
TORCH_RUNTIMES = MappingProxyType({"torch": False, "torch-compile": True})


def installed_torch() -> Torch:
    """The package. `MissingExtraError` where there is none."""
    try:
        return import_module("torch")
    except ImportError:
        raise missing_extra("torch", "torch") from None


def function_in_torch(name: str, fn: Function, device: str, precision: str) -> TorchCall:
    """The function as one of the runtimes calls it, of tensors on `device`.

    `MissingExtraError` where there is no torch, `UnsupportedError` for what it cannot do.
    """
    program = to_torch(fn, device)
    torch: Torch = import_module("torch")
    tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    narrow = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
    run = torch.compile(program, dynamic=False) if TORCH_RUNTIMES[name] else program

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        cast = torch.autocast(device, narrow or torch.bfloat16, enabled=narrow is not None)
        with torch.inference_mode(), cast:
            results: tuple[Tensor, ...] = run(*tensors)
            return results

    return call


def first_call(name: str, call: TorchCall, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The results of the call that compiles. `UnsupportedError` says why there are none."""
    try:
        return call(*tensors)
    except MlirLiteError:
        raise
    except Exception as error:  # torch raises whatever its parts do
        said = str(error).strip().partition("\n")[0]
        raise UnsupportedError(f"{name} cannot run this: {type(error).__name__}: {said}") from None


def torch_call(
    name: str, load: partial[Any], arrays: Sequence[Array], threads: int, precision: str
) -> Call:
    """The call by torch on this machine's processors, of the function that `load` gives.

    `MissingExtraError` where there is no torch.
    """
    torch = installed_torch()
    torch.set_num_threads(threads)
    inductor: Torch = import_module("torch._inductor.config")
    inductor.compile_threads = 1  # no processes beside this one
    call = function_in_torch(name, load().function, "cpu", precision)
    there = import_module(f"{__package__.rpartition('.')[0]}.exporters.torch.arrays")
    tensors = [there.tensor_of(array) for array in arrays]
    first_call(name, call, tensors)
    return lambda: [there.array_of(result) for result in call(*tensors)]
