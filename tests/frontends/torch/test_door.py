"""What `ml.from_torch` makes of a module: names, sizes, constants, lines, and refusals."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, InputError, UnsupportedError
from mlir_lite.cli import main
from mlir_lite.ir import Constant, results_of
from mlir_lite.location import Location

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = pytest.importorskip("torch")
    nn = torch.nn

from frontends.torch.modules import module
from mlir_lite.exporters.torch.arrays import array_of

# Torch's own exporter warns of its own types.
pytestmark = pytest.mark.filterwarnings("ignore")


def classifier() -> Any:
    def forward(self: Any, x: Any) -> Any:
        y = torch.relu(self.hidden(x))
        return self.last(y).softmax(-1)

    return module("Classifier", forward, hidden=nn.Linear(8, 16), last=nn.Linear(16, 3))


def imported(model: Any, *inputs: Any, **options: Any) -> Function:
    return ml.from_torch(model, *inputs, **options)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_module_becomes_a_function_that_can_be_read() -> None:
    fn = imported(classifier(), torch.ones(2, 8))
    operations = [node.op.name for node in fn.nodes if node.op.name != "constant"]
    layer = ["transpose", "matmul", "broadcast", "add"]
    assert operations == [*layer, "relu", *layer, "softmax"]
    assert fn.name == "Classifier"
    assert [param.name for param in fn.params] == ["x"]


def test_the_compiled_function_takes_tensors() -> None:
    model, x = classifier(), torch.randn(2, 8)
    found = ml.compile(imported(model, x))(x)
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-5)


def test_every_operation_knows_the_line_of_the_model() -> None:
    fn = imported(classifier(), torch.ones(2, 8))
    found = {node.op.name: node.location for node in fn.nodes if node.op.name != "constant"}
    assert found["relu"] == Location(__file__, line_of("torch.relu(self"))
    assert found["softmax"] == Location(__file__, line_of(".softmax(-1)"))


def test_in_a_model_of_torch_alone_an_operation_knows_its_layer() -> None:
    fn = imported(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())), torch.ones(2))
    assert [str(node.location) for node in fn.nodes] == ["<torch>:0", "<torch>:1.0"]


def test_weights_are_not_copied() -> None:
    model = classifier()
    fn = imported(model, torch.ones(2, 8))
    constants = [node.op.value for node in fn.nodes if isinstance(node.op, Constant)]
    found = {data.name: data.array() for data in constants}
    assert np.shares_memory(found["hidden_weight"], model.hidden.weight.detach().numpy())


def test_a_weight_that_is_used_twice_is_one_constant() -> None:
    def tied(self: Any, ids: Any) -> Any:
        return self.head(self.table(ids))

    table, head = nn.Embedding(300, 8), nn.Linear(8, 300, bias=False)
    head.weight = table.weight
    fn = imported(module("Tied", tied, table=table, head=head), torch.zeros(3, dtype=torch.int64))
    assert [node.op.name for node in fn.nodes].count("constant") == 1


def test_a_size_that_stays_open_has_the_name_of_its_dim() -> None:
    model, x = classifier(), torch.randn(4, 8)
    fn = imported(model, x, dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert str(fn.params[0].type) == "tensor<[batch]x8xf32>"
    run = ml.compile(fn)
    for rows in (1, 3):
        y = torch.randn(rows, 8)
        np.testing.assert_allclose(run(y), model(y).detach().numpy(), rtol=1e-5)


def windows(_: Any, x: Any, y: Any) -> Any:
    half = x[:, x.shape[1] // 2 :]
    both = torch.cat([half, y], 1)
    return both.view(-1, x.shape[0]) * x.shape[1], both.mean()


def test_arithmetic_of_sizes_stays_open() -> None:
    rows, half = torch.export.Dim("rows"), torch.export.Dim("half")
    sizes = {"x": {0: rows, 1: 2 * half}, "y": {0: rows}}
    shown = torch.ones(3, 6), torch.ones(3, 2)
    fn = imported(module("Windows", windows), *shown, dynamic_shapes=sizes)
    assert [str(param.type) for param in fn.params] == [
        "tensor<[rows]x[2*half]xf32>",
        "tensor<[rows]x2xf32>",
    ]
    given = torch.randn(5, 8), torch.randn(5, 2)
    for have, want in zip(ml.compile(fn)(*given), module("Windows", windows)(*given), strict=True):
        np.testing.assert_allclose(have, want.numpy(), rtol=1e-5)


def test_sizes_without_names_get_some() -> None:
    auto = torch.export.Dim.AUTO
    fn = imported(classifier(), torch.ones(4, 8), dynamic_shapes=({0: auto},))
    assert str(fn.params[0].type) == "tensor<[d0]x8xf32>"


def nested(_: Any, pair: Any, *, scale: Any, flag: bool = True) -> Any:
    first, second = pair["first"], pair["second"]
    return {"sum": first + second, "none": None, "parts": (first * scale, [second])}


def test_inputs_and_results_are_the_tensors_of_trees() -> None:
    pair = {"first": torch.ones(2), "second": torch.full((2,), 2.0)}
    scale = torch.tensor(5.0)
    fn = imported(module("Nested", nested), pair, kwargs={"scale": scale})
    assert [param.name for param in fn.params] == ["pair_first", "pair_second", "scale"]
    found = results_of(ml.evaluate(fn, *map(array_of, (*pair.values(), scale))))
    assert [list(array) for array in found] == [[3, 3], [5, 5], [2, 2]]


@dataclass
class Scored:
    scores: Any
    rows: Any = None
    label: str = "scored"


def in_a_class(_: Any, x: Any) -> Any:
    return Scored(x + 1, x.shape[0]), [x]


def alone(_: Any, x: Any) -> Any:
    return (x * 2,)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_a_model_gives_its_own_form(dynamic: bool) -> None:
    torch.export.register_dataclass(Scored, serialized_type_name="Scored")
    x = torch.ones(2, 3)
    sizes = ({0: torch.export.Dim("rows")},) if dynamic else None
    (one,) = ml.compile(imported(module("Alone", alone), x, dynamic_shapes=sizes))(x)
    np.testing.assert_array_equal(one, np.full((2, 3), 2.0))
    run = ml.compile(imported(module("InAClass", in_a_class), x, dynamic_shapes=sizes))
    for given in (run(x), run(x, out=None), run.clone()(x=x)):
        scored, (same,) = given
        assert isinstance(scored, Scored)
        assert (scored.rows, scored.label) == (2, "scored")
        np.testing.assert_array_equal(scored.scores, same + 1)


def test_a_form_keeps_what_is_no_tensor_and_weights_bound_later() -> None:
    pair = {"first": torch.ones(2), "second": torch.full((2,), 2.0)}
    fn = imported(module("Nested", nested), pair, kwargs={"scale": torch.tensor(5.0)})
    found = ml.compile(fn.bind({"scale": np.float32(7)}))(*pair.values())
    assert list(found) == ["sum", "none", "parts"]
    assert found["none"] is None
    assert isinstance(found["parts"][1], list)
    np.testing.assert_array_equal(found["parts"][0], [7, 7])


def test_all_that_is_not_read_is_told_at_once_with_its_lines() -> None:
    def forward(_: Any, x: Any) -> Any:
        y = torch.special.i0(x)
        z = torch.special.i0(y) + torch.rand(3)
        return torch.nonzero(z)

    with pytest.raises(UnsupportedError) as told:
        imported(module("Unread", forward), torch.ones(3))
    first, second, third = (line_of(text) for text in ("i0(x)", "i0(y)", "torch.nonzero"))
    header, *lines = str(told.value).splitlines()
    assert header == "Unread needs what is not supported:"
    places = f"{__file__}:{first}, {__file__}:{second}"
    assert lines[0] == f"  aten.i0.default x2 at {places}: there is no reader for it"
    assert lines[1].startswith(f"  aten.rand.default x1 at {__file__}:{second}: it draws random")
    assert lines[2].startswith(f"  aten.nonzero.default x1 at {__file__}:{third}: it makes a ")


def test_a_module_that_changes_its_buffers_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"running_mean'.*model\.eval\(\)"):
        ml.from_torch(nn.BatchNorm1d(4).train(), torch.ones(3, 4))


def test_a_module_that_writes_into_its_input_is_refused() -> None:
    def writes(_: Any, x: Any) -> Any:
        return x.add_(1)

    with pytest.raises(UnsupportedError, match="Writes writes into its input 'x'"):
        imported(module("Writes", writes), torch.ones(3))


def test_complex_numbers_are_refused() -> None:
    def forward(_: Any, x: Any) -> Any:
        return torch.real(x.to(torch.complex64) * 2)

    with pytest.raises(UnsupportedError, match=r"_to_copy.*torch\.complex64; the compiler has"):
        imported(module("Spectrum", forward), torch.ones(8))


def test_a_file_of_an_exported_program_is_read(tmp_path: Path) -> None:
    model, x = classifier(), torch.randn(2, 8)
    file = tmp_path / "classifier.pt2"
    torch.export.save(torch.export.export(model, (x,)), file)
    fn = ml.from_torch(file)
    assert fn.name == "classifier"
    (found,) = results_of(ml.evaluate(fn, x.numpy()))
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-5)


def test_the_command_line_runs_such_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = torch.export.Dim("batch")
    exported = torch.export.export(
        classifier(), (torch.ones(2, 8),), dynamic_shapes=({0: batch},)
    )
    torch.export.save(exported, tmp_path / "classifier.pt2")
    arguments = ["run", str(tmp_path / "classifier.pt2"), "--shape", "x=3x8"]
    assert main([*arguments, "--random-inputs", "0"]) == 0
    assert "3x3" in capsys.readouterr().out


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"from_torch takes a torch\.nn\.Module.*not int"):
        ml.from_torch(3)
    with pytest.raises(InputError, match=r"there is no file 'none\.pt2'"):
        ml.from_torch("none.pt2")


def test_without_torch_there_is_an_error_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ml.MissingExtraError, match=r"mlir-lite\[torch\]"):
        ml.from_torch(3)
