"""What repeats is drawn once; and only what does repeat, and gives nothing from within."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.drawing.repeats import Repeat, parts_of
from mlir_lite.drawing.scene import PORT, scene_of

from .functions import LAYERS, fused, transformer


def repeats(fn: Function) -> list[Repeat]:
    return [part for part in parts_of(fn) if isinstance(part, Repeat)]


@pytest.mark.parametrize("after_passes", [False, True])
def test_layers_of_a_transformer_are_drawn_once(after_passes: bool) -> None:
    several, one = (
        scene_of(fused(fn) if after_passes else fn) for fn in (transformer(), transformer(1))
    )
    (drawn,) = (box for _, box in several.boxes() if box.family == "regions" and box.hint)
    assert [box.label for _, box in several.boxes()] == ["x", f"{LAYERS} times", "result"]
    inside = [box.label for _, box in drawn.inside[0].boxes() if box.family != PORT]
    assert inside == [box.label for _, box in one.boxes()][1:-1]


def steps(x: Value, count: int, *, last: float = 2.0) -> list[Value]:
    """Values after steps of four operations each, with another number in the last."""
    found = [x]
    for step in range(count):
        added = last if step == count - 1 else 2.0
        found.append(ml.relu(ml.tanh(ml.exp(found[-1]) + added)))
    return found


def test_three_are_enough_and_two_are_not() -> None:
    @ml.function(f32[8])
    def three(x: Value) -> Value:
        return steps(x, 3)[-1]

    @ml.function(f32[8])
    def two(x: Value) -> Value:
        return steps(x, 2)[-1]

    assert [repeat.times for repeat in repeats(three)] == [3]
    assert repeats(two) == []


def test_another_number_is_another_step() -> None:
    @ml.function(f32[8])
    def differs(x: Value) -> Value:
        return steps(x, 4, last=3.0)[-1]

    assert [repeat.times for repeat in repeats(differs)] == [3]


def test_what_is_read_from_within_is_not_hidden() -> None:
    @ml.function(f32[8])
    def read(x: Value) -> Value:
        every = steps(x, 4)
        return every[-1] + every[2]

    assert repeats(read) == []


def test_only_the_first_may_begin_with_something_else() -> None:
    @ml.function(f32[8], f32[8])
    def restarts(x: Value, other: Value) -> Value:
        y = steps(x, 3)[-1]
        z = steps(other, 3)[-1]
        return y + z

    assert [repeat.times for repeat in repeats(restarts)] == [3, 3]


def test_what_all_steps_read_may_come_from_outside() -> None:
    @ml.function(f32[8], f32[8])
    def masked(x: Value, mask: Value) -> Value:
        for _ in range(4):
            x = ml.relu(ml.tanh(ml.exp(x) * mask))
        return x

    (repeat,) = repeats(masked)
    assert repeat.times == 4
    assert repeat.first.params == masked.params


def test_a_chain_that_reads_two_steps_back_is_drawn_whole_or_right() -> None:
    @ml.function(f32[8])
    def fibonacci(x: Value) -> Value:
        before, now = x, ml.exp(x)
        for _ in range(6):
            before, now = now, ml.relu(ml.tanh(ml.exp(now) + before))
        return now

    for repeat in repeats(fibonacci):
        assert len(repeat.results) == 1
        assert len(repeat.first.params) == 2
