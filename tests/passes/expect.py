"""The test of a pass: text in, text out, and the same numbers on both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mlir_lite as ml
from mlir_lite.ir import ConstantData, Function, run_reference
from mlir_lite.ir.parser import NO_RESOURCES
from mlir_lite.ir.verify import verify
from mlir_lite.passes.manager import difference, sample_inputs


def expect(
    graph_pass: Callable[[Function], Function],
    *,
    before: str,
    after: str | None = None,
    resources: Mapping[str, ConstantData] = NO_RESOURCES,
) -> Function:
    """The function of `before` after the pass; it must be that of `after` (None: unchanged).

    Both are run by the interpreter on sample inputs. `resources` are the large constants.
    """
    given = ml.parse(before, resources)
    got = graph_pass(given)
    verify(got)
    wanted = given if after is None else ml.parse(after, resources)
    assert str(got) == str(wanted)
    same_results(given, got)
    return got


def same_results(first: Function, second: Function) -> None:
    """Fail where two functions differ on sample inputs by more than the order of operations."""
    arrays = sample_inputs(first)
    pairs = zip(run_reference(first, arrays), run_reference(second, arrays), strict=True)
    for position, (want, have) in enumerate(pairs):
        error, allowed = difference(want, have)
        assert error <= allowed, f"result {position} differs by {error}, {allowed} is allowed"


def operations(fn: Function) -> list[str]:
    """The names of a function's operations in order, without its constants."""
    return [node.op.name for node in fn.nodes if node.op.name != "constant"]
