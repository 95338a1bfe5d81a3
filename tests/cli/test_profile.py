"""`mlir-lite profile`: what is counted, what bounds it, what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite.backends.llvm.ceilings import Ceilings
from mlir_lite.cli import profile, step_times
from mlir_lite.cli.counting import footprint, matrix_flops, step_works
from mlir_lite.cli.step_times import Line, kernel_lines, step_lines
from mlir_lite.lowering import lower_for
from mlir_lite.options import Options
from mlir_lite.tile.parser import parse_program
from mlir_lite.types import Array

from .conftest import Cli

CEILINGS = Ceilings(
    threads=1, flops=100e9, l2_read=100e9, l3_read=50e9, memory_read=10e9, memory_copy=20e9,
    l2_bytes=1 << 10, l3_bytes=1 << 20,
)  # fmt: skip

# The table is larger than the caches, but only two of its rows are read.
GATHER = """
program @gather(%x) -> (%y) {
  parameter %x: tensor<2x8xf32>
  constant %table: tensor<65536x8xf32>
  arena %a: tensor<2x8xf32> at 0
  result %y: tensor<2x8xf32>
  kernel @rows(%table: f32[65536, 8], %x: f32[2, 8], %y: out f32[2, 8]) {
    for i in 0..2 {
      for j in 0..8 {
        y[i, j] = table[i * 1000, j] * x[i, j]
      }
    }
  }
  kernel @twice(%x: f32[2, 8], %also: f32[2, 8], %y: out f32[2, 8]) {
    for i in 0..2 {
      for j in 0..8 {
        y[i, j] = x[i, j] + also[i, j]
      }
    }
  }
  call @rows(%table, %x, %a)
  call @twice(%a, %a, %y)
}
"""


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own figures do not matter here."""
    monkeypatch.setattr(profile, "measure_ceilings", lambda _, threads: CEILINGS)
    yield


def test_steps_count_what_they_touch_once() -> None:
    program = parse_program(GATHER)
    rows, twice = step_works(program)
    assert (rows.operations, rows.bytes_read, rows.bytes_written) == (16, 128, 64)
    assert (twice.operations, twice.bytes_read, twice.bytes_written) == (16, 64, 64)
    assert (rows.arena_bytes, twice.arena_bytes) == (64, 64)
    assert footprint(program) == 65536 * 8 * 4 + 64 + 64


def test_data_outside_of_the_arena_come_from_memory_where_the_caches_cannot_hold_them() -> None:
    rows, twice = step_lines(parse_program(GATHER), [1e-6, 1e-6], CEILINGS)
    assert rows.place == "memory"
    assert rows.data_seconds == pytest.approx(128 / 20e9 + 64 / 100e9)
    assert twice.bound == "memory"  # of its two halves the one that is written outside
    assert twice.share == pytest.approx((64 / 20e9 + 64 / 100e9) / 1e-6)


def test_turns_of_a_loop_find_what_the_last_one_read_in_a_cache() -> None:
    """Together they read far more than the caches hold, each of them 128 bytes."""
    turns = 1 << 20
    steps = "  call @rows(%table, %x, %a)\n  call @twice(%a, %a, %y)\n"
    loop = f"  loop turn in 0..{turns} {{\n    call @rows(%table, %x, %a)\n  }}\n"
    small = GATHER.replace("65536", "16").replace("i * 1000", "i * 10")
    program = parse_program(small.replace(steps, loop + "  call @twice(%a, %a, %y)\n"))
    rows, _ = step_lines(program, [1.0, 1e-6], CEILINGS)
    assert (rows.count, rows.place) == (turns, "L2")
    assert rows.data_seconds == pytest.approx(turns * 192 / 100e9)


def test_a_product_counts_as_its_function_says() -> None:
    product = ml.parse(
        "func @f(%x: tensor<96x40xf32>, %y: tensor<40x64xf32>) -> tensor<96x64xf32> {\n"
        "  %0 = matmul %x, %y : tensor<96x64xf32>\n  return %0\n}"
    )
    _, _, _, program, _ = lower_for(product, "cpu:avx512", Options())
    # The loops of its schedule do no less, and without padding no more.
    assert sum(work.operations for work in step_works(program)) == matrix_flops(product)


def line(kernel: str, seconds: float, operations: int, source: str = "f.py:1") -> Line:
    return Line(kernel, "", source, 1, seconds, operations, 100, operations / 100e9, 1e-9, "L2")


def test_steps_of_a_kernel_are_added_up_and_the_slowest_comes_first() -> None:
    first, second = kernel_lines(
        [line("a", 1e-6, 1000), line("b", 3e-6, 0), line("a", 3e-6, 3000, "f.py:2")]
    )
    assert (first.kernel, first.count, first.source) == ("a", 2, "f.py:2")
    assert first.seconds == pytest.approx(4e-6)
    assert (first.operations, first.bytes) == (4000, 200)
    assert (first.bound, second.bound) == ("compute", "L2")
    assert first.gflops == pytest.approx(1.0)
    assert first.share == pytest.approx(4000 / 100e9 / 4e-6)


def test_json_accounts_for_the_call(cli: Cli, product_onnx: Path) -> None:
    done = cli(
        "profile", product_onnx, "--shape", "n=256", "--threads", 1, "--repeat", 3, "--json"
    )
    report = json.loads(done.out)
    total = sum(entry["seconds"] for entry in report["lines"])
    assert total == pytest.approx(report["steps_seconds"])
    assert 0 < report["steps_seconds"] < report["call_seconds"] * 1.5
    assert report["calls"] >= 3
    product = next(entry for entry in report["lines"] if entry["operations"])
    assert product["operations"] >= 2 * 256 * 64 * 33
    assert product["source"].startswith("product.onnx:")
    assert product["bound"] in ("compute", "L2", "L3", "memory")


def test_table_has_the_sum_and_the_call(cli: Cli, chain: Path) -> None:
    done = cli("profile", chain, "--threads", 1, "--repeat", 1)
    lines = done.out.splitlines()
    assert lines[0].startswith("@chain, the faster half of ")
    assert "100 GFLOP/s" in lines[1]
    assert lines[3].split()[0] == "time"
    assert lines[4].split()[-1] == "relu"  # this text says nothing of a source
    assert " = call " in lines[-1]


def test_trace_has_an_event_a_step_one_after_the_other(
    cli: Cli, product_onnx: Path, tmp_path: Path
) -> None:
    out = tmp_path / "trace.json"
    done = cli("profile", product_onnx, "--shape", "n=64", "--steps", "--json", "--trace", out)
    steps = json.loads(done.out)["lines"]
    name, *events = json.loads(out.read_text())["traceEvents"]
    assert (name["ph"], name["name"]) == ("M", "process_name")
    assert [event["name"] for event in events] == [step["kernel"] for step in steps]
    assert [event["args"]["flops"] for event in events] == [step["operations"] for step in steps]
    end = 0.0
    for event in events:
        assert event["ph"] == "X"
        assert event["ts"] == pytest.approx(end)
        end = event["ts"] + event["dur"]
        assert event["args"]["source"].startswith("product.onnx:")


class Scripted:
    """An executable whose calls take what a script says, by a clock and a counter of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Sequence[int]]) -> None:
        self.steps = iter(steps)
        self.now = 0
        self.ticks = np.zeros(0, np.int64)
        monkeypatch.setattr(step_times, "time", self)

    def perf_counter(self) -> float:
        return self.now * 1e-3  # a tick is a millisecond

    def __call__(self, *_: object) -> None:
        self.now += 1  # before the first step, as after the last
        self.ticks = self.now + np.cumsum([0, *next(self.steps)])
        self.now = int(self.ticks[-1]) + 1

    def step_ticks(self) -> Array:
        return self.ticks


def test_times_are_of_the_faster_half_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two calls to warm up, then four; a disturbance in a different step of the slow ones.
    script = [(900, 900), (900, 900), (100, 200), (700, 200), (120, 220), (100, 900)]
    times = step_times.time_steps(Scripted(monkeypatch, script), [], 4)
    # The counter's rate comes from the whole stretch, of which its ticks miss the two ends.
    assert times.calls == 4
    assert times.steps == pytest.approx([0.110, 0.210], rel=2e-3)
    assert times.call == pytest.approx(0.322, rel=1e-6)
    assert times.inside == pytest.approx(0.320, rel=2e-3)
    assert times.durations == pytest.approx([0.120, 0.220], rel=2e-3)
    assert times.starts == pytest.approx([0.0, 0.120], rel=2e-3)
