"""Every sample of every operation as text: both forms read back, and MLIR's tools read one."""

from __future__ import annotations

from itertools import groupby

import pytest
from ops.sample import Sample
from ops.samples import SAMPLES

from mlir_lite.ir import Function, Node, Op, result_types
from mlir_lite.ir.parser import parse
from mlir_lite.ir.printer import print_function, print_generic
from mlir_lite.ir.resources import resources_of
from mlir_lite.location import Location
from mlir_lite.ops.table import TABLE

from .mlir_tool import mlir_operations

FAMILIES = {
    name: list(samples)
    for name, samples in groupby(
        sorted(SAMPLES, key=lambda sample: sample.op.name), lambda sample: sample.op.name
    )
}
every_family = pytest.mark.parametrize("samples", FAMILIES.values(), ids=FAMILIES.keys())


def function_of(samples: list[Sample]) -> Function:
    """A function with these operations on parameters of its own."""
    nodes = tuple(
        Node(sample.op, result_types(sample.op), Location("samples.py", 7)) for sample in samples
    )
    params = dict.fromkeys(operand for node in nodes for operand in node.op.operands)
    results = (result for node in nodes for result in node.results)
    return Function("sample", tuple(params), nodes, tuple(results))


def holds_region(op: Op) -> bool:
    return any(isinstance(entry, Function) for entry in op.attributes.values())


def check_same(sample: Sample, read: Function) -> None:
    """The function that was read has the sample's operation, on its own parameters."""
    (node,) = read.nodes
    params = dict(zip(dict.fromkeys(sample.op.operands), read.params, strict=True))
    if not holds_region(sample.op):  # a region equals no other: the texts are compared
        assert node.op.key() == sample.op.map_operands(params.__getitem__).key(), str(sample)
    assert tuple(value.type for value in node.results) == result_types(sample.op)
    assert node.location == Location("samples.py", 7)


@every_family
def test_short_form_reads_back(samples: list[Sample]) -> None:
    for sample in samples:
        fn = function_of([sample])
        text = print_function(fn, locations=True)
        read = parse(text, TABLE, resources_of(fn))
        check_same(sample, read)
        assert print_function(read, locations=True) == text


@every_family
def test_generic_form_reads_back(samples: list[Sample]) -> None:
    for sample in samples:
        fn = function_of([sample])
        text = print_generic(fn)
        read = parse(text, TABLE, resources_of(fn))
        check_same(sample, read)
        assert print_generic(read) == text


@every_family
def test_an_mlir_parser_reads_the_generic_form(samples: list[Sample]) -> None:
    names = mlir_operations(print_generic(function_of(samples)))
    name = f"mlir_lite.{samples[0].op.name}"
    if holds_region(samples[0].op):
        names = [found for found in names if found == name or "mlir_lite" not in found]
    assert names == ["builtin.module", "func.func", *[name] * len(samples), "func.return"]
