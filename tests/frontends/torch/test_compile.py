"""`torch.compile(model, backend="mlir_lite")`: what torch traces, compiled, on its own tensors."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = pytest.importorskip("torch")
    nn = torch.nn

from frontends.torch.modules import module
from mlir_lite.frontends.torch import backend
from mlir_lite.ir import Function

pytestmark = pytest.mark.usefixtures("fresh")


def compiled(model: Any, **options: Any) -> Any:
    return torch.compile(model, backend=backend, options=options)


def assert_alike(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def classifier() -> Any:
    def forward(self: Any, x: Any) -> Any:
        y = self.pool(torch.relu(self.norm(self.conv(x))))
        y = nn.functional.adaptive_avg_pool2d(y, 1).flatten(1)
        return {"scores": self.last(y).softmax(-1), "turned": y.t()}

    conv, norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
    parts = {"conv": conv, "norm": norm, "pool": nn.MaxPool2d(2), "last": nn.Linear(8, 5)}
    return module("Classifier", forward, **parts)


def test_inference_gives_what_torch_gives_at_any_size() -> None:
    model = classifier()
    fast = compiled(model)
    with torch.no_grad():
        for rows in (2, 3, 5):
            x = torch.randn(rows, 3, 8, 8)
            assert_alike(fast(x), model(x))


def test_results_lie_in_memory_as_torch_has_them() -> None:
    model, x = classifier(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        turned = compiled(model)(x)["turned"]
        assert turned.stride() == model(x)["turned"].stride() == (1, 8)


def test_weights_that_have_changed_are_seen() -> None:
    model, x = nn.Linear(8, 3), torch.randn(2, 8)
    fast = compiled(model)
    with torch.no_grad():
        for _ in range(5):  # more often than weights are packed anew
            model.weight.mul_(2)
            assert_alike(fast(x), model(x))


def through_data(weight: Any) -> None:
    weight.data.mul_(2)


def through_an_old_alias(weight: Any) -> None:
    weight.alias.mul_(2)


def to_other_memory(weight: Any) -> None:
    weight.data = weight.data * 2


def through_numpy(weight: Any) -> None:
    weight.detach().numpy()[...] *= 2


@pytest.mark.parametrize(
    "change", [through_data, through_an_old_alias, to_other_memory, through_numpy]
)
@pytest.mark.parametrize("memory", ["torch's", "numpy's"])
def test_changes_that_torch_does_not_count_are_seen(change: Any, memory: str) -> None:
    model, x = nn.Linear(8, 3), torch.randn(2, 8)
    if memory == "numpy's":
        model.weight = nn.Parameter(torch.from_numpy(model.weight.detach().numpy().copy()))
    model.weight.alias = model.weight.data
    fast, version = compiled(model), model.weight._version
    with torch.no_grad():
        for _ in range(3):
            assert_alike(fast(x), model(x))
            change(model.weight)
            assert model.weight._version == version
            assert_alike(fast(x), model(x))


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of what has been made constant, each time."""
    found: list[list[str]] = []
    bind = Function.bind

    def counted(fn: Function, weights: Any) -> Function:
        found.append(sorted(weights))
        return bind(fn, weights)

    monkeypatch.setattr(Function, "bind", counted)
    return found


def test_weights_that_are_only_read_are_packed_once(bound: list[list[str]]) -> None:
    """Turned in memory, or moved there by who reads them."""
    model, x = nn.Linear(8, 3), torch.randn(2, 8)
    model.weight = nn.Parameter(torch.randn(8, 3).t())
    fast = compiled(model)
    with torch.no_grad():
        for _ in range(3):
            assert_alike(fast(x), model(x))
            model.weight.numpy()
    assert len(bound) == 1
    assert len(bound[0]) == 2


@pytest.mark.parametrize(("freeze", "count"), [(True, 0), ("all", 1)])
def test_memory_of_others_is_a_constant_only_if_asked(
    freeze: Any, count: int, bound: list[list[str]]
) -> None:
    weight = torch.from_numpy(np.ones((8, 3), np.float32))
    model = nn.Linear(8, 3, bias=False)
    model.weight = nn.Parameter(weight.t())
    fast, x = compiled(model, freeze=freeze), torch.randn(2, 8)
    with torch.no_grad():
        assert_alike(fast(x), model(x))
    assert len(bound) == count


def test_inputs_may_lie_in_any_order() -> None:
    with torch.no_grad():
        x = torch.randn(8, 2).t()
        assert_alike(compiled(torch.relu)(x), torch.relu(x))
        half = torch.randn(4).to(torch.bfloat16)
        assert_alike(compiled(lambda x: x * 0.3 + 1)(half), half * 0.3 + 1)


def test_what_a_function_writes_into_its_inputs_is_written() -> None:
    def step(x: Any, state: Any) -> Any:
        state.add_(x)
        return state * 2

    x, state = torch.ones(3), torch.zeros(3)
    with torch.no_grad():
        assert_alike(compiled(step)(x, state), torch.full((3,), 2.0))
    assert_alike(state, torch.ones(3))


def test_gradients_are_those_of_torch() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4))
    x, target = torch.randn(6, 8), torch.randint(0, 4, (6,))

    def gradients(model: Any) -> list[Any]:
        net.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        return [parameter.grad.clone() for parameter in net.parameters()]

    assert_alike(gradients(compiled(net)), gradients(net))


def test_torch_runs_what_is_not_supported_and_the_warning_names_it() -> None:
    def forward(_: Any, x: Any) -> Any:
        return torch.special.i0(x) + 1

    model, x = module("Bessel", forward), torch.ones(3)
    line = forward.__code__.co_firstlineno + 1
    place = rf"aten\.i0\.default x1 at {__file__}:{line}: there is no reader for it"
    with pytest.warns(RuntimeWarning, match=f"torch runs this graph itself(.|\n)*{place}"):
        assert_alike(compiled(model)(x), model(x))


def test_a_layer_without_a_line_of_the_users_is_named_by_its_path() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.LPPool1d(2, 2), nn.FractionalMaxPool2d(2, 2)))
    with pytest.warns(RuntimeWarning, match=r"aten\.fractional_max_pool2d\S* x1 at <torch>:1\.1:"):
        compiled(model)(torch.ones(2, 4, 8))


def test_the_package_says_where_the_backend_is() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["torch_dynamo_backends"]
    home, _, name = points["mlir_lite"].partition(":")
    assert getattr(import_module(home), name) is backend
