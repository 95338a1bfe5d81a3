"""What `import mlir_lite as ml` offers."""

from importlib import import_module

import pytest

import mlir_lite as ml
from mlir_lite import f32, ops

NAMES = [
    *("function", "compile", "evaluate", "from_onnx", "parse", "resources_of", "specialise", "nn"),
    "to_torch",
    *("Value", "Function", "TensorType", "Executable", "TypeRuleError", "InputError"),
    *("f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool_"),
    *("relu", "exp", "matmul", "conv", "softmax", "where"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there_and_listed(name: str) -> None:
    assert getattr(ml, name) is not None
    assert name in dir(ml)


def test_operations_are_those_of_ops() -> None:
    assert all(getattr(ml, name) is getattr(ops, name) for name in ops.__all__)


def test_the_room_of_tile_ir_does_not_hide_the_operation() -> None:
    """Compiling imports `mlir_lite.tile`, which Python then sets as an attribute of the package."""
    import_module("mlir_lite.tile.nodes")
    repeated = ml.function(f32[2])(lambda x: ml.tile(x, (3,)))
    assert repeated.result_types == (f32[6],)


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'mlir_lite' has no attribute 'rleu'"):
        ml.rleu  # type: ignore[attr-defined]  # noqa: B018
    # The name of a module that `ops` imports, but does not list.
    assert not hasattr(ml, "np")
