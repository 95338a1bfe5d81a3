"""mlir-lite: a deep-learning compiler that one can read.

    import mlir_lite as ml
    from mlir_lite import Value, f32

    @ml.function(f32[64, 784], f32[784, 10], f32[10])
    def classifier(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(x @ w + b)

    run = ml.compile(classifier)

Types and errors are here at once; the rest loads when it is first asked for, so that the import
alone costs little.
"""

from __future__ import annotations

import sys as _sys
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING

from .errors import InputError as InputError
from .errors import MissingExtraError as MissingExtraError
from .errors import MlirLiteError as MlirLiteError
from .errors import ParseError as ParseError
from .errors import PassError as PassError
from .errors import RunError as RunError
from .errors import TypeRuleError as TypeRuleError
from .errors import UnsupportedError as UnsupportedError
from .errors import VerifyError as VerifyError
from .sizes import Dim as Dim
from .types import DType as DType
from .types import TensorType as TensorType
from .types import bf16 as bf16
from .types import bool_ as bool_
from .types import f16 as f16
from .types import f32 as f32
from .types import f64 as f64
from .types import i8 as i8
from .types import i16 as i16
from .types import i32 as i32
from .types import i64 as i64
from .types import u8 as u8

if TYPE_CHECKING:
    from . import train as train
    from .backends.cuda.card.device_array import DeviceArray as DeviceArray
    from .backends.cuda.card.here import to_device as to_device
    from .drawing.drawing import Drawing as Drawing
    from .drawing.drawing import draw as draw
    from .driver import Executable as Executable
    from .driver import compile as compile
    from .dsl import checkpoint as checkpoint
    from .dsl import cond as cond
    from .dsl import ctc_loss as ctc_loss
    from .dsl import function as function
    from .dsl import grad as grad
    from .dsl import jvp as jvp
    from .dsl import nn as nn
    from .dsl import parse as parse
    from .dsl import scan as scan
    from .dsl import specialise as specialise
    from .dsl import value_and_grad as value_and_grad
    from .dsl import vjp as vjp
    from .dsl import while_loop as while_loop
    from .exporters.torch import to_torch as to_torch
    from .frontends.onnx import from_onnx as from_onnx
    from .frontends.torch import from_torch as from_torch
    from .interpreter import evaluate as evaluate
    from .ir import Function as Function
    from .ir import Value as Value
    from .ir import resources_of as resources_of
    from .ops import *  # noqa: F403 (the operations' own list says what is public)
    from .tuner import tune as tune
    from .tuning import Tuning as Tuning

# Where the names live that load late; any other is looked for among the operations.
_HOMES = {
    "DeviceArray": ".backends.cuda.card.device_array",
    "Drawing": ".drawing.drawing",
    "Executable": ".driver",
    "Function": ".ir",
    "Tuning": ".tuning",
    "Value": ".ir",
    "checkpoint": ".dsl",
    "compile": ".driver",
    "cond": ".dsl",
    "ctc_loss": ".dsl",
    "draw": ".drawing.drawing",
    "evaluate": ".interpreter",
    "from_onnx": ".frontends.onnx",
    "from_torch": ".frontends.torch",
    "function": ".dsl",
    "grad": ".dsl",
    "jvp": ".dsl",
    "nn": ".dsl",
    "parse": ".dsl",
    "resources_of": ".ir",
    "scan": ".dsl",
    "specialise": ".dsl",
    "to_device": ".backends.cuda.card.here",
    "to_torch": ".exporters.torch",
    "tune": ".tuner",
    "value_and_grad": ".dsl",
    "vjp": ".dsl",
    "while_loop": ".dsl",
}

# What is a module itself.
_ROOMS = ("train",)

# A type checker knows the names above, and would take any for granted if it saw this function.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _ROOMS:
            return _import_module(f".{name}", __name__)
        module = None
        if not name.startswith("_"):
            module = _import_module(_HOMES.get(name, ".ops"), __name__)
        if module is None or (name not in _HOMES and name not in module.__all__):
            advice = ""
            if not name.startswith("_"):
                advice = _import_module(".other_names", __name__).advice(name, __dir__())
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{advice}")
        found = getattr(module, name)
        globals()[name] = found
        return found

    class _Package(_ModuleType):
        """This package, in which `tile` is the operation: the import of the room that is called
        so, of Tile IR, would put the room in its place."""

        @property
        def tile(self) -> object:
            return _import_module(".ops", __name__).tile

        @tile.setter
        def tile(self, room: object) -> None:
            pass

    _sys.modules[__name__].__class__ = _Package

    def __dir__() -> list[str]:
        operations = _import_module(".ops", __name__).__all__
        return sorted({*globals(), *_HOMES, *_ROOMS, *operations})
