"""decompose: what is defined by other operations is written out, layer by layer."""

from __future__ import annotations

import mlir_lite as ml
from mlir_lite import f32
from mlir_lite.passes.decompose import decompose

from .expect import operations, same_results

FN = ml.function(f32[4, 6], f32[6])(lambda x, s: ml.softmax(ml.layer_norm(x, s), 1))
ATTENTION = ml.function(f32[1, 2, 5, 4], f32[1, 2, 7, 4], f32[1, 2, 7, 4])(ml.attention)


def test_nothing_that_has_a_decomposition_is_left() -> None:
    for fn in (FN, ATTENTION):
        got = decompose(fn)
        same_results(fn, got)
        assert not any(type(node.op).has("decompose") for node in got.nodes)


def test_decompositions_that_use_others_are_written_out_too() -> None:
    assert "softmax" in operations(decompose(ATTENTION, fuel=1))
    assert "softmax" not in operations(decompose(ATTENTION))


def test_what_is_to_be_kept_stays() -> None:
    names = operations(decompose(FN, keep="softmax"))
    assert "softmax" in names and "layer_norm" not in names
    assert decompose(FN, keep=("softmax", "layer_norm")) is FN
    assert "layer_norm" not in operations(decompose(FN, keep="norm"))  # a name, not a part of one


def test_locations_stay() -> None:
    lines = {node.location.line for node in FN.nodes}
    assert {node.location.line for node in decompose(FN).nodes} == lines
