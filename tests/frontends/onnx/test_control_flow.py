"""`If`, `Loop` and `Scan`: what they become, in machine code, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import mlir_lite as ml
from mlir_lite import Function, UnsupportedError
from mlir_lite.frontends.onnx import from_onnx
from mlir_lite.types import Array


def read(body: str, inputs: str, outputs: str = "float[N] y") -> onnx.ModelProto:
    header = '<ir_version: 8, opset_import: ["" : 18]>'
    return onnx.parser.parse_model(f"{header} g ({inputs}) => ({outputs}) {{ {body} }}")


def ops(fn: Function) -> list[str]:
    return [node.op.name for node in fn.nodes]


def run(fn: Function, *arrays: Array) -> list[list[float]]:
    found = ml.compile(fn)(*arrays)
    return [array.tolist() for array in (found if isinstance(found, tuple) else (found,))]


BRANCHES = """
    y = If(c) <
        then_branch = a () => (float[N] t) { t = Exp(x) },
        else_branch = b () => (float[N] e) { e = Neg(x) }
    >"""


@pytest.mark.parametrize("truth, expected", [(True, 1.0), (False, 0.0)])
def test_a_condition_of_the_data_is_a_branch(truth: bool, expected: float) -> None:
    fn = from_onnx(read(BRANCHES, "float[4] x, bool c"))
    assert ops(fn) == ["cond"]
    assert run(fn, np.zeros(4, "f4"), np.array(truth)) == [[expected] * 4]


def test_branches_of_different_types_need_a_known_condition() -> None:
    body = BRANCHES.replace("Neg(x)", "Concat<axis = 0>(x, x)")
    with pytest.raises(UnsupportedError, match="value of 'c'; give it with values="):
        from_onnx(read(body, "float[4] x, bool c"))


LOOP = """
    m = Constant<value = int64 {3}>()
    c = Constant<value = bool {1}>()
    y, s = Loop(m, c, x) <
        body = b (int64 i, bool go, float[N] h) => (bool on, float[N] next, float[N] out) {
            on = Identity(go)
            next = Add(h, x)
            out = Exp(h)
        }
    >"""


def test_a_loop_of_known_length_is_a_scan() -> None:
    fn = from_onnx(read(LOOP, "float[2] x", "float[2] y, float[3, 2] s"))
    assert "scan" in ops(fn)
    y, s = ml.compile(fn)(np.array([0, 1], "f4"))
    assert y.tolist() == [0, 4]
    np.testing.assert_allclose(s, np.exp([[0, 1], [0, 2], [0, 3]]), rtol=1e-6)


def test_a_loop_whose_body_ends_it_is_a_while_loop() -> None:
    body = """
        ten = Constant<value = float {10}>()
        y = Loop(m, , x) <
            body = b (int64 i, bool go, float[N] h) => (bool on, float[N] next) {
                next = Add(h, h)
                total = ReduceSum<keepdims = 0>(next)
                on = Less(total, ten)
            }
        >"""
    fn = from_onnx(read(body, "float[2] x, int64 m"))
    assert "while_loop" in ops(fn)
    x = np.array([1, 1], "f4")
    assert run(fn, x, np.array(99)) == [[8, 8]]
    assert run(fn, x, np.array(2)) == [[4, 4]]
    assert run(fn, x, np.array(0)) == [[1, 1]]


def test_what_a_loop_of_unknown_length_stacks_is_refused() -> None:
    body = LOOP.replace("m = Constant<value = int64 {3}>()", "")
    with pytest.raises(UnsupportedError, match="give it with values="):
        from_onnx(read(body, "float[2] x, int64 m", "float[2] y, float[n, 2] s"))
    ended = LOOP.replace("on = Identity(go)", "z = ReduceSum<keepdims = 0>(h)\n on = Less(z, z)")
    with pytest.raises(UnsupportedError, match="stacked by a Loop whose number of steps"):
        from_onnx(read(ended, "float[2] x", "float[2] y, float[n, 2] s"))


def test_a_state_that_grows_is_written_out() -> None:
    body = """
        m = Constant<value = int64 {3}>()
        y = Loop(m, , x) <
            body = b (int64 i, bool go, float[N] h) => (bool on, float[M] next) {
                on = Identity(go)
                next = Concat<axis = 0>(h, x)
            }
        >"""
    fn = from_onnx(read(body, "float[1] x"))
    assert run(fn, np.array([5], "f4")) == [[5, 5, 5, 5]]


def test_scan_steps_along_the_axes_that_the_model_says() -> None:
    body = """
        y, s = Scan<
            num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1],
            scan_output_axes = [1],
            body = b (float[N] h, float[N] v) => (float[N] next, float[N] out) {
                next = Add(h, v)
                out = Identity(next)
            }
        >(h0, x)"""
    fn = from_onnx(read(body, "float[2] h0, float[2, 3] x", "float[2] y, float[2, 3] s"))
    x = np.array([[1, 2, 3], [4, 5, 6]], "f4")
    y, s = ml.compile(fn)(np.zeros(2, "f4"), x)
    assert y.tolist() == [6, 15]
    assert s.tolist() == [[3, 5, 6], [6, 11, 15]]


def test_recurrent_operators_are_loops_however_long() -> None:
    body = "y = RNN<hidden_size = 4>(x, w, r)"
    inputs = "float[2000, 1, 3] x, float[1, 4, 3] w, float[1, 4, 4] r"
    fn = from_onnx(read(body, inputs, "float[2000, 1, 1, 4] y"))
    assert len(fn.nodes) < 20
