"""The source as somebody who knows cards reads it: pointers that say what they may, narrow numbers
that are rounded once and moved as they are, addresses of large arrays, launches that cards take."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, UnsupportedError, Value, bf16, f32
from mlir_lite.backends.cuda.source.aliases import in_place
from mlir_lite.backends.cuda.source.kernels import MOST_BLOCKS, emit_kernel
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.ir import run_reference
from mlir_lite.tile.nodes import Buffer, Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.program import CallStep, Program, Role, Slot, View
from mlir_lite.types import Array, TensorType

from ..compiled import Compiled, card, planned
from ..examples import BY_NAME
from ..on_shim import executable_on
from ..shim import needs_shim
from ..shim_card import ShimCard


def text_of(fn: Function, model: str = "sm_90") -> str:
    return CudaSource.of(planned(fn, card(model))[0], card(model)).kernel_texts


# Pointers


def test_pointers_are_restricted_where_no_call_overwrites_what_it_reads() -> None:
    """The state of a loop is halved in place; it is copied from a parameter."""
    text = text_of(BY_NAME["halved"])
    heads = re.findall(r"(\w+)_kernel\((.*)\)", text)
    restricted = {name: params.count("__restrict__") for name, params in heads}
    assert restricted == {"copy": 2, "max_greater": 2, "broadcast_multiply": 0}


COPY = parse_kernel("""
    kernel @copied(%x: f32[8], %y: out f32[8]) {
      block b in 0..1 {
        thread t in 0..8 {
          y[t] = x[t]
        }
      }
    }""")
EIGHT = TensorType((8,), f32)


@pytest.mark.parametrize(
    ("slots", "meets"),
    [
        ((Slot("x", EIGHT, Role.PARAMETER), Slot("y", EIGHT, Role.RESULT)), False),
        ((Slot("x", EIGHT, Role.PARAMETER), Slot("y", EIGHT, Role.RESULT, donor="x")), True),
        ((Slot("x", EIGHT, Role.ARENA, 0), Slot("y", EIGHT, Role.ARENA, 32)), False),
        ((Slot("x", EIGHT, Role.ARENA, 4), Slot("y", EIGHT, Role.ARENA, 32)), True),
        ((Slot("x", EIGHT, Role.ARENA, 0), Slot("y", EIGHT, Role.RESULT)), False),
    ],
    ids=["parameter to result", "donor", "neighbours", "overlapping", "arena to result"],
)
def test_calls_that_overwrite_what_they_read_are_known(
    slots: tuple[Slot, Slot], meets: bool
) -> None:
    call = CallStep(COPY.name, (View("x"), View("y")))
    program = Program("p", (COPY,), slots, (call,), (), ())
    assert in_place(program) == (frozenset({COPY.name}) if meets else frozenset())


# Narrow numbers


@ml.function(bf16[40, 64])
def turned(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@ml.function(bf16[5, 7, 3])
def turned_odd(x: Value) -> Value:
    return ml.transpose(x, perm=(2, 0, 1))


@ml.function(bf16[40, 64])
def cut(x: Value) -> Value:
    return x[3:21, 8:24]


@needs_shim
@pytest.mark.parametrize("fn", [turned, turned_odd, cut], ids=lambda fn: fn.name)
def test_what_only_moves_keeps_its_bits(fn: Function, tmp_path: Path) -> None:
    """NaN of all kinds, which arithmetic makes quiet, and subnormal numbers."""
    random = np.random.default_rng(0)
    arrays: list[Array] = [
        random.integers(0, 1 << 16, param.type.static_shape).astype(np.uint16).view(bf16.numpy)
        for param in fn.params
    ]
    (found,) = Compiled.of(fn, tmp_path)(*arrays)
    (wanted,) = run_reference(fn, arrays)
    np.testing.assert_array_equal(found.view(np.uint16), wanted.view(np.uint16))
    assert not re.search("bf16_value|bf16_bits|load_bf16|store_bf16", text_of(fn))


@ml.function(bf16[40, 64], bf16[64])
def scaled(x: Value, s: Value) -> Value:
    return x * s + 1.0


@ml.function(bf16[7, 5], bf16[5])
def scaled_odd(x: Value, s: Value) -> Value:
    return x * s + 1.0


@pytest.mark.parametrize("fn", [scaled, scaled_odd], ids=lambda fn: fn.name)
def test_results_are_rounded_once(fn: Function) -> None:
    """The product is rounded, as it is in memory; the sum as it is stored."""
    assert text_of(fn).count("to_bf16(") == 1


# Large arrays, small arrays, launches


@ml.function(f32[70000, 40000], f32[70000, 40000])
def large_sum(x: Value, y: Value) -> Value:
    return x + y


@ml.function(f32[70000, 40000])
def large_rows(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(bf16[70001, 40003])
def large_turned(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@pytest.mark.parametrize("fn", [large_sum, large_rows, large_turned], ids=lambda fn: fn.name)
def test_addresses_of_large_arrays_are_computed_in_64_bits(fn: Function) -> None:
    """Every multiple of an index that steps over what 32 bits count is of a wide number."""
    text = text_of(fn)
    places = re.findall(r"\b(?:x|x0|x1|result)\[([^;]*?)\]", text)
    assert len(places) >= 2 and all("(long long)" in place for place in places)


EMPTY = {
    "elements": (lambda x: ml.relu(x), f32[0, 4]),
    "sum": (lambda x: ml.sum(x, axis=0), f32[0, 3]),
    "softmax": (lambda x: ml.softmax(x, axis=-1), f32[4, 0]),
    "no terms": (lambda x: x @ np.ones((0, 5), np.float32), f32[3, 0]),
    "no rows": (lambda x: x @ np.ones((6, 5), np.float32), f32[0, 6]),
    "joined": (lambda x: ml.concat((x, np.ones((2, 4), np.float32)), axis=0), f32[0, 4]),
    "convolution": (lambda x: ml.conv2d(x, np.ones((4, 3, 3, 3), np.float32)), f32[0, 3, 8, 8]),
}


@needs_shim
@pytest.mark.parametrize("name", EMPTY)
def test_arrays_without_elements_launch_nothing_in_vain(name: str) -> None:
    body, type_ = EMPTY[name]
    fn = ml.function(type_)(body)
    shim = ShimCard(late=True)
    x = np.zeros(type_.static_shape, np.float32)
    run = executable_on(shim, fn)
    for _ in range(2):  # kernel by kernel, and as a graph
        np.testing.assert_array_equal(run(x), run_reference(fn, [x])[0])
    source = CudaSource.of(planned(fn, card())[0], card())
    assert all(min(*kernel.grid, *kernel.block) > 0 for kernel in source.kernels.values())


def grid_of(count: int) -> Kernel:
    body = parse_kernel(f"""
        kernel @many(%y: out i8[{count}]) {{
          block b in 0..{count} {{
            thread t in 0..1 {{
              y[b] = 1
            }}
          }}
        }}""")
    assert isinstance(body.params[0], Buffer)
    return body


def test_a_launch_has_no_more_blocks_than_cards_take() -> None:
    most, _, _ = MOST_BLOCKS
    assert emit_kernel(grid_of(most)).grid == (most, 1, 1)
    with pytest.raises(UnsupportedError, match=f"'many' has {most + 1} blocks along x; cards take"):
        emit_kernel(grid_of(most + 1))
