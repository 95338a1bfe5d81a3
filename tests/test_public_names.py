"""What `import mlir_lite as ml` offers."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from types import ModuleType

import pytest

import mlir_lite as ml
from mlir_lite import f32, ops
from mlir_lite.other_names import RENAMED

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


def test_what_has_another_name_here_is_there() -> None:
    for other, ours in RENAMED.items():
        assert not hasattr(ml, other)
        attrgetter(ours)(ml)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("cat", "it is ml.concat here"),
        ("inv", "it is ml.linalg.inverse here"),
        ("unique", "how much it gives depends on the data"),
        ("rfft", "there are no complex numbers"),
        ("softmaxx", "did you mean 'softmax' or 'log_softmax'?"),
    ],
)
def test_what_to_write_instead_is_told(name: str, advice: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(ml, name)
    assert f"has no attribute '{name}'; {advice}" in str(caught.value)


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'mlir_lite' has no attribute 'rleu'"):
        ml.rleu  # type: ignore[attr-defined]  # noqa: B018
    # The name of a module that `ops` imports, but does not list.
    assert not hasattr(ml, "np")


def _without_a_docstring(place: str, thing: object) -> Iterator[str]:
    """What a user can call of a module or a class that nothing is said of. How a module of a
    network is called is said of its class."""
    listed = dir(thing) if isinstance(thing, ModuleType) else vars(thing)
    for name in listed:
        found = getattr(thing, name)
        function = found.fget if isinstance(found, property) else found
        ours = getattr(function, "__module__", "").startswith("mlir_lite")
        if name.startswith("_") or name == "forward" or not (ours and callable(function)):
            continue
        own = vars(found).get("__doc__") if inspect.isclass(found) else inspect.getdoc(found)
        # What a dataclass says of itself, where nothing is written, is its signature.
        if not own or own.startswith(f"{name}("):
            yield f"{place}.{name}"
        if inspect.isclass(found):
            yield from _without_a_docstring(f"{place}.{name}", found)


@pytest.mark.parametrize("module", [ml, ml.nn, ml.linalg, ml.random, ml.train])
def test_whatever_a_user_calls_says_what_it_does(module: ModuleType) -> None:
    assert list(_without_a_docstring(module.__name__, module)) == []


def test_what_says_nothing_is_found() -> None:
    made = ModuleType("made")

    class Silent:
        """It says something, its method nothing."""

        def method(self) -> None: ...

    Silent.__module__ = Silent.method.__module__ = "mlir_lite.made"
    vars(made)["Silent"] = Silent
    assert list(_without_a_docstring("made", made)) == ["made.Silent.method"]
