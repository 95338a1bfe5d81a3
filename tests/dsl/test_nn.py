"""nn modules: names, first values, errors. What they compute is compared in test_nn_torch.py."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import TypeRuleError, UnsupportedError, Value, f32, f64, nn


class Residual(nn.Module):
    body: nn.Module

    def forward(self, x: Value) -> Value:
        return x + self.body(x)


class Scale(nn.Module):
    """A module with a parameter of its own."""

    width: int

    def own_parameters(self) -> dict[str, nn.Parameter]:
        return {"factor": nn.Parameter(f32[self.width], nn.filled(2.0))}

    def forward(self, x: Value) -> Value:
        return x * self.own("factor")


class Net(nn.Module):
    blocks: tuple[nn.Module, ...]
    heads: dict[str, nn.Module]
    norm: nn.BatchNorm1d = nn.BatchNorm1d(3)

    def forward(self, x: Value, y: Value) -> tuple[Value, ...]:
        for block in self.blocks:
            x = block(x)
        return tuple(head(self.norm(x + y)) for head in self.heads.values())


def net() -> Net:
    blocks = (Residual(nn.Sequential(nn.Linear(3, 3), nn.ReLU())), Scale(3))
    return Net(blocks, {"kind": nn.Linear(3, 2, bias=False), "place": nn.Linear(3, 4)})


def test_parameters_are_weights_then_statistics_then_inputs() -> None:
    layers = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    assert [param.name for param in ml.function(layers, f32["n", 3]).params] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "0.running_mean",
        "0.running_var",
        "x",
    ]


def test_names_of_parameters_in_a_tree() -> None:
    fn = ml.function(net(), f32["n", 3], f32[3])
    assert fn.name == "Net"
    assert [param.name for param in fn.params] == [
        "blocks.0.body.0.weight",
        "blocks.0.body.0.bias",
        "blocks.1.factor",
        "heads.kind.weight",
        "heads.place.weight",
        "heads.place.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "x",
        "y",
    ]


def test_a_traced_module_computes_with_its_weights() -> None:
    x = np.array([[1, -2, 3]], np.float32)
    weights = net().init(seed=1)
    fn = ml.function(net(), f32[1, 3], f32[3])
    kind, place = ml.evaluate(fn.bind(weights), x, np.zeros(3, np.float32))
    inner = weights["blocks.0.body.0.weight"], weights["blocks.0.body.0.bias"]
    mixed = 2 * (x + np.maximum(x @ inner[0].T + inner[1], 0)) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(kind, mixed @ weights["heads.kind.weight"].T, rtol=1e-5)
    wanted = mixed @ weights["heads.place.weight"].T + weights["heads.place.bias"]
    np.testing.assert_allclose(place, wanted, rtol=1e-5)


def test_the_text_round_trips() -> None:
    text = str(ml.function(net(), f32["n", 3], f32[3]))
    strip = [line.split("//")[0].rstrip() for line in text.splitlines()]
    assert str(ml.parse(text)).splitlines() == strip


def test_layers_emit_at_the_users_line() -> None:
    fn = ml.function(Residual(nn.Linear(3, 3)), f32[2, 3])
    line = inspect.getsourcelines(Residual.forward)[1] + 1
    assert {(node.location.file, node.location.line) for node in fn.nodes} == {(__file__, line)}


def test_modules_are_frozen_and_hold_no_arrays() -> None:
    layer = nn.Linear(3, 4)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'bias' of Linear is not set"):
        layer.bias = False  # type: ignore[misc]
    assert repr(layer) == "Linear(in_features=3, out_features=4, bias=True, dtype=DType(" + (
        "name='f32', kind='f', bits=32))"
    )


def test_layers_without_a_type_are_no_fields() -> None:
    with pytest.raises(TypeRuleError, match=r"write `head: nn\.Linear = …`") as caught:
        type("Net", (nn.Module,), {"head": nn.Linear(2, 3), "__annotations__": {}})
    assert caught.value.where.startswith(__file__)
    with pytest.raises(TypeRuleError, match=r"write `heads: nn\.Module = …`"):

        class Heads(nn.Module):
            heads = (nn.Linear(2, 3),)


def test_torchs_way_to_set_layers_is_told_ours() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 3)

    advice = "its layers are fields, as in\n    class Net"
    with pytest.raises(dataclasses.FrozenInstanceError, match=advice):
        Net()


def test_names_of_a_sequential() -> None:
    named = nn.Sequential({"fc": nn.Linear(2, 2, bias=False), "act": nn.ReLU()})
    assert list(named.parameters()) == ["fc.weight"]
    with pytest.raises(TypeRuleError, match="takes modules, or one mapping"):
        nn.Sequential(nn.ReLU(), {"act": nn.ReLU()})


def test_init_depends_on_seed_and_name_alone() -> None:
    small, large = nn.Sequential(nn.Linear(9, 9)), nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 9))
    first, second = small.init(3), large.init(3)
    np.testing.assert_array_equal(first["0.weight"], second["0.weight"])
    assert not np.array_equal(second["0.weight"], second["1.weight"])
    assert not np.array_equal(first["0.weight"], small.init(4)["0.weight"])


def test_init_has_the_declared_types() -> None:
    for module in (nn.Linear(3, 4, dtype=f64), nn.BatchNorm2d(3), nn.Embedding(5, 2)):
        for name, array in module.init().items():
            declared = module.parameters()[name].type
            assert (array.shape, array.dtype) == (declared.shape, declared.dtype.numpy)


@pytest.mark.parametrize(
    ("module", "name", "deviation", "bound"),
    [
        (nn.Linear(100, 200), "weight", 0.1 / math.sqrt(3), 0.1),
        (nn.Conv2d(4, 200, 5), "weight", 0.1 / math.sqrt(3), 0.1),
        (nn.Conv2d(8, 200, 5, groups=2), "weight", 0.1 / math.sqrt(3), 0.1),
        (nn.ConvTranspose2d(200, 4, 5), "weight", 0.1 / math.sqrt(3), 0.1),
        (nn.Embedding(200, 100), "weight", 1.0, math.inf),
        (nn.MultiheadAttention(96, 4), "in_proj_weight", 0.125 / math.sqrt(3), 0.125),
    ],
)
def test_first_values_have_torchs_distribution(
    module: nn.Module, name: str, deviation: float, bound: float
) -> None:
    values = module.init()[name]
    # The sampling error of a standard deviation of n values is below 1 / sqrt(2 n), n >= 20000.
    assert values.std() == pytest.approx(deviation, rel=0.02)
    assert abs(values.mean()) < 0.02 * deviation * 3
    assert np.abs(values).max() <= bound


def test_a_module_that_is_not_traced() -> None:
    x = ml.function(f32[3])(lambda x: x).params[0]
    with pytest.raises(TypeRuleError, match=r"trace it with ml\.function"):
        Scale(3)(x)


def test_a_parameter_that_is_not_declared() -> None:
    class Wrong(Scale):
        def forward(self, x: Value) -> Value:
            return x * self.own("fcator")

    with pytest.raises(TypeRuleError, match="declares no parameter 'fcator', but: factor"):
        ml.function(Wrong(3), f32[3])


def test_an_input_named_as_a_parameter() -> None:
    class Clash(Scale):
        def forward(self, factor: Value) -> Value:
            return factor

    with pytest.raises(TypeRuleError, match="two parameters named 'factor'; rename the input"):
        ml.function(Clash(3), f32[3])


def test_a_wrong_shape_names_the_line_in_forward() -> None:
    with pytest.raises(TypeRuleError, match="'matmul'") as caught:
        ml.function(Residual(nn.Linear(4, 4)), f32[2, 3])
    line = inspect.getsourcelines(Residual.forward)[1] + 1
    assert caught.value.where == f"{__file__}:{line}"


def test_a_wrong_shape_for_a_bare_layer_names_the_line_that_traces_it() -> None:
    with pytest.raises(TypeRuleError) as caught:
        ml.function(nn.BatchNorm2d(3), f32[2, 3])
    assert caught.value.where.startswith(f"{__file__}:")
    assert "BatchNorm2d takes rank 4, got tensor<2x3xf32>" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(3, 4, 3, groups=2), "3 input channels do not divide into 2 groups"),
        (nn.Conv2d(4, 4, (3, 3, 3)), "the kernel size has 3 numbers for 2 spatial axes"),
        (nn.MultiheadAttention(6, 4), "an embedding of 6 does not divide into 4 heads"),
    ],
)
def test_layers_that_cannot_be(module: nn.Module, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        module.parameters()


def test_unequal_parts_of_an_adaptive_pool() -> None:
    with pytest.raises(UnsupportedError, match="of 5 elements into 2 parts"):
        ml.function(nn.AdaptiveAvgPool2d(2), f32[1, 1, 5, 5])
