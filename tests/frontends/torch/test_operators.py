"""Every operator of torch that is read, held against torch itself in float64."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite.ir import results_of
from mlir_lite.types import Array

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from frontends.torch.cases import CALLS
from frontends.torch.modules import module
from mlir_lite.exporters.torch.arrays import array_of
from mlir_lite.frontends.torch.program import TorchProgram
from mlir_lite.frontends.torch.table import READERS, name_of

# Torch's own exporter warns of its own types.
pytestmark = pytest.mark.filterwarnings("ignore")


def _forward(self: Any, *inputs: Any) -> Any:
    """Calls, one after the other: exporting takes torch a third of a second each time."""
    rest = iter(inputs)
    return [function(*(next(rest) for _ in given)) for function, given in self.calls]


def arrays(found: Any) -> list[Array]:
    return [array_of(leaf) for leaf in torch.utils._pytree.tree_leaves(found)]


def wide(tensor: Any) -> Any:
    return tensor.double() if tensor.dtype.is_floating_point else tensor


@cache
def traced(name: str) -> TorchProgram:
    """The calls of a group as torch exports them."""
    inputs = [tensor for _, given in CALLS[name] for tensor in given]
    model = module("Calls", _forward, calls=CALLS[name])
    return TorchProgram.traced(model, inputs, {}, None, False)


@pytest.mark.parametrize("name", CALLS)
def test_operators_give_what_torch_gives(name: str) -> None:
    inputs = [tensor for _, given in CALLS[name] for tensor in given]
    fn = traced(name).function()
    found = iter(results_of(ml.evaluate(fn, *map(array_of, inputs))))
    for number, (function, given) in enumerate(CALLS[name]):
        for own, best in zip(
            arrays(function(*given)), arrays(function(*map(wide, given))), strict=True
        ):
            _check(f"{name}, call {number}", next(found), own, best, given)
    assert not list(found)


def _check(what: str, have: Array, own: Array, best: Array, given: Sequence[Any]) -> None:
    """That a result is of torch's type and within a few roundings of the best there is."""
    assert (have.dtype, have.shape) == (own.dtype, own.shape), what
    if own.dtype.kind in "iub":
        np.testing.assert_array_equal(have, own, what)
        return
    halves = [x.dtype for x in given if x.dtype in (torch.bfloat16, torch.float16)]
    unit = float(torch.finfo(halves[0] if halves else torch.float32).eps)
    wide = best.astype(np.float64)
    largest = np.abs(wide[np.isfinite(wide)]).max(initial=1)
    limits = 8 * unit, 16 * unit * min(largest, 1e3)
    np.testing.assert_allclose(have.astype(np.float64), wide, *limits, err_msg=what)


# What `torch.compile` makes of others; `test_compile.py` and `test_training.py` have those.
OF_COMPILE = {
    "aten.bernoulli.p", "aten.lift_fresh_copy", "aten.native_dropout", "aten.new_empty_strided",
    "aten.rand", "aten.rand_like", "aten.randn", "aten.randn_like", "aten.true_divide",
    "attention_gradient", "prims.convert_element_type", "prims.device_put",
}  # fmt: skip


def test_every_reader_reads_something() -> None:
    read = {name_of(node.target) for name in CALLS for node in traced(name).exported.graph.nodes}
    reached = read | {name.rpartition(".")[0] for name in read} | OF_COMPILE
    assert not READERS.keys() - reached
