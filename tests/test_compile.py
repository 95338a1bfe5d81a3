"""`ml.compile`: sizes, results, faults, threads and determinism of what the user holds."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, InputError, PassError, RunError, UnsupportedError, Value, f32, i64
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.backends.llvm.executable import CpuExecutable
from mlir_lite.demo.assets import load
from mlir_lite.demo.model import digits
from mlir_lite.drawing import FORMS
from mlir_lite.driver import Executable
from mlir_lite.ir import rewrite, rewrite_all
from mlir_lite.ops.elementwise.unary import Exp, exp
from mlir_lite.ops.table import TABLE
from mlir_lite.passes import pipelines
from mlir_lite.passes.pipelines import PASSES, Step, cpu_pipeline
from mlir_lite.types import Array


@ml.function(f32["batch", 8], f32[8, 5], f32[5])
def layer(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


@ml.function(f32[64, 96], f32[96, 200], f32[200])
def large(x: Value, w: Value, b: Value) -> tuple[Value, Value]:
    """Enough work for several threads: a product, a softmax, sums along either axis."""
    y = ml.softmax(x @ w + b, 1)
    return y @ w.T, ml.sum(y * y, (0,))


def random(fn: Function, seed: int = 0, **sizes: int) -> list[Array]:
    """Float arrays for a function's parameters."""
    generator = np.random.default_rng(seed)
    params = ml.specialise(fn, sizes).params if sizes else fn.params
    return [
        generator.standard_normal(param.type.static_shape).astype(np.float32) for param in params
    ]


def results(given: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    return given if isinstance(given, tuple) else (given,)


def assert_same(actual: Array | tuple[Array, ...], wanted: Array | tuple[Array, ...]) -> None:
    """Equal but for the order of float32 sums of some hundred terms."""
    for have, want in zip(results(actual), results(wanted), strict=True):
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * float(np.abs(want).max()))


def assert_equal_bits(actual: Sequence[Array], wanted: Sequence[Array]) -> None:
    for have, want in zip(actual, wanted, strict=True):
        assert have.tobytes() == want.tobytes()


# Sizes


def test_named_sizes_compile_at_the_first_call_and_are_kept() -> None:
    run = ml.compile(layer)
    with pytest.raises(InputError, match=r"@layer has the named sizes batch: it is compiled at"):
        _ = run.stages
    for batch in (1, 7, 1, 64):
        arrays = random(layer, batch=batch)
        assert_same(run(*arrays), ml.evaluate(layer, *arrays))
    seven = run.for_sizes({"batch": 7})
    named = zip(("x", "w", "b"), random(layer, batch=7), strict=True)
    assert run.for_arrays(dict(named)) is seven
    assert run.for_sizes({"batch": 8}) is not seven


def test_an_empty_batch() -> None:
    y = ml.compile(layer)(*random(layer, batch=0))
    assert np.shape(y) == (0, 5)


def test_stages_are_those_of_the_sizes_compiled_last() -> None:
    run = ml.compile(layer)
    run.for_sizes({"batch": 3})
    run.for_sizes({"batch": 9})
    assert "tensor<9x8xf32>" in run.stages["graph"] and "[batch]" not in run.stages["graph"]


def test_each_static_value_is_compiled_for_once() -> None:
    @ml.function(f32[3], i64[()], static=["n"])
    def f(x: Value, n: Value) -> Value:
        return x * ml.broadcast(n.astype(ml.f32), (3,))

    run = ml.compile(f)
    x = np.arange(3, dtype=np.float32)
    for factor in (2, 5, 2):
        np.testing.assert_array_equal(run(x, np.array(factor)), x * factor)
    assert run.program.params == ("x",)
    assert run.for_arrays({"x": x, "n": np.array(2)}) is run.for_arrays({"x": x, "n": np.array(2)})


# Arguments and results


def test_arrays_by_place_and_by_name() -> None:
    for fn in (layer, ml.specialise(layer, {"batch": 4})):
        x, w, b = random(layer, batch=4)
        run = ml.compile(fn)
        want = ml.evaluate(layer, x, w, b)
        assert_same(run(x, w, b=b), want)
        assert_same(run(b=b, w=w, x=x), want)
        assert_same(run(x, b=b, w=w), want)


@pytest.mark.parametrize(
    ("place", "named", "message"),
    [
        (2, (), r"expected 3 arrays \('x', 'w', 'b'\), got 2"),
        (3, ("b",), "b given by place and by name"),
        (2, ("bias",), "no parameter bias; it has x, w, b"),
    ],
)
def test_arguments_that_do_not_fit(place: int, named: tuple[str, ...], message: str) -> None:
    arrays = random(layer, batch=4)
    run = ml.compile(ml.specialise(layer, {"batch": 4}))
    with pytest.raises(InputError, match=message):
        run(*arrays[:place], **dict.fromkeys(named, arrays[2]))


def test_a_result_can_be_written_where_the_caller_wants_it() -> None:
    arrays = random(large)
    run = ml.compile(large, threads=1)
    want = results(run(*arrays))
    given = tuple(np.full_like(entry, np.nan) for entry in want)
    got = results(run(*arrays, out=given))
    assert all(have is mine for have, mine in zip(got, given, strict=True))
    assert_equal_bits(given, want)


def test_results_never_share_the_arena_or_an_input() -> None:
    """A later call leaves earlier results as they are; so does writing into the inputs."""

    @ml.function(f32[4, 4])
    def f(x: Value) -> tuple[Value, Value, Value, Value]:
        y = ml.exp(x)
        return x, y, ml.reshape(y, (16,)), ml.reshape(x, (16,))

    run = ml.compile(f)
    (first,), (second,) = random(f, 1), random(f, 2)
    got = results(run(first))
    kept = [entry.copy() for entry in got]
    run(second)
    first[:] = 0
    assert_equal_bits(got, kept)
    for one, entry in enumerate(got):
        assert not any(np.shares_memory(entry, other) for other in got[one + 1 :])
        assert entry.flags.writeable and entry.flags.aligned


def test_constants_as_results_are_copies() -> None:
    fn = ml.function(f32[3])(lambda x: (x + 1, np.arange(4, dtype=np.float32)))
    run = ml.compile(fn)
    _, first = results(run(np.zeros(3, np.float32)))
    first[:] = 9
    _, second = results(run(np.zeros(3, np.float32)))
    np.testing.assert_array_equal(second, [0, 1, 2, 3])


# Faults


@ml.function(f32[5, 3], i64[2])
def looked_up(x: Value, i: Value) -> Value:
    return ml.exp(ml.gather(x * 2, i, 0))


def test_a_fault_of_the_data_names_the_operation_and_the_line() -> None:
    run = ml.compile(looked_up)
    x = np.ones((5, 3), np.float32)
    line = next(node.location.line for node in looked_up.nodes if node.op.name == "gather")
    with pytest.raises(RunError, match=rf"test_compile\.py:{line}: an index is out of range"):
        run(x, np.array([0, 5]))
    good = np.array([4, -5])
    assert_same(run(x, good), ml.evaluate(looked_up, x, good))  # and it can be called again


# Threads


def test_two_threads_give_the_bits_of_one() -> None:
    arrays = random(large)
    one, two = (results(ml.compile(large, threads=count)(*arrays)) for count in (1, 2))
    assert_equal_bits(one, two)
    assert_same(one, ml.evaluate(large, *arrays))


def in_threads(work: Sequence[Callable[[], None]]) -> None:
    """Run these at the same time; raise the first error of any."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("shared", [True, False], ids=["one executable", "clones"])
def test_calls_from_several_threads(shared: bool) -> None:
    """One executable makes its callers wait for one another, clones do not share an arena."""
    run = ml.compile(large, threads=1)

    def job(seed: int, call: Executable) -> Callable[[], None]:
        arrays = random(large, seed)
        want = results(run(*arrays))

        def work() -> None:
            for _ in range(20):
                assert_equal_bits(results(call(*arrays)), want)

        return work

    in_threads([job(seed, run if shared else run.clone()) for seed in range(3)])


def test_a_clone_is_made_while_another_thread_compiles() -> None:
    run = ml.compile(layer)
    run.for_sizes({"batch": 2})
    kept = run.for_sizes({"batch": 3})

    class Compiling:
        """An executable during whose `clone` another thread compiles for a size."""

        def clone(self) -> object:
            run.for_sizes({"batch": 4})
            return kept.clone()

    compiling: Any = Compiling()
    run._made[(("batch", 2),)] = compiling
    assert len(run.clone()._made) == 2


def test_a_call_keeps_what_it_works_on() -> None:
    """The arena, the constants and the threads live as long as `run`, not as the executable."""
    executable = ml.compile(layer, threads=2).for_sizes({"batch": 3})
    assert isinstance(executable, CpuExecutable)
    arena, run = weakref.ref(executable._arena), executable.run
    del executable
    gc.collect()
    assert arena() is not None
    del run
    gc.collect()
    assert arena() is None


def test_a_clone_knows_the_sizes_compiled_so_far_and_goes_its_own_way() -> None:
    run = ml.compile(layer)
    run.for_sizes({"batch": 2})
    copy = run.clone()
    assert copy.program is run.program
    copy.for_sizes({"batch": 5})
    assert "tensor<2x8xf32>" in run.stages["graph"]
    assert "tensor<5x8xf32>" in copy.stages["graph"]


# Determinism


def test_compiling_twice_gives_the_same_texts_and_bits() -> None:
    first, second = ml.compile(large), ml.compile(large)
    for stage in first.stages:
        assert first.stages[stage] == second.stages[stage], stage
    arrays = random(large)
    assert_equal_bits(results(first(*arrays)), results(second(*arrays)))


def test_lines_of_the_users_file_change_no_kernel() -> None:
    """The same function some lines below: other locations, the same machine code."""

    def traced() -> Function:
        return ml.function(f32[8, 8])(lambda x: ml.relu(x @ x))

    first = ml.compile(traced())
    again = ml.function(f32[8, 8], name="lambda")(
        #
        lambda x: ml.relu(x @ x)
    )
    second = ml.compile(again)
    assert first.stages["asm"] == second.stages["asm"]
    assert first.stages["graph"] != second.stages["graph"]


# Stages


def test_every_stage_is_readable() -> None:
    stages = ml.compile(ml.specialise(digits(), {"batch": 2})).stages
    assert list(stages) == ["graph", "report", "fused", *FORMS, "tile", "llvm", "asm"]
    assert "batch_norm" in stages["graph"] and "batch_norm" not in stages["fused"]
    assert "group [" in stages["fused"] and "panel_conv" in stages["fused"]
    assert "kernel @" in stages["tile"] and "arena_bytes" in stages["tile"]
    assert "define " in stages["llvm"] and ".text" in stages["asm"]


def test_the_demo_compiles_for_any_batch_and_classifies() -> None:
    run, assets = ml.compile(digits()), load()
    for count in (1, 33):
        scores = run(assets.images[:count])
        assert_same(scores, ml.evaluate(digits(), assets.images[:count]))


# Passes


@rewrite(Exp)
def exp_of_twice(op: Exp) -> Value | None:
    """exp(x)  ->  exp(2x), which is wrong"""
    match op.x.op:
        case None:
            return exp(op.x * 2)
    return None


def test_each_pass_verification_names_a_wrong_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(fn: Function) -> Function:
        return rewrite_all(fn, [exp_of_twice], TABLE, fuel=1)

    monkeypatch.setattr(pipelines, "PASSES", {**PASSES, "planted": planted})
    fn = ml.function(f32[3])(lambda x: ml.exp(x) + 1)
    steps = (Step("canonicalize"), Step("planted"), Step("fuse"))
    ml.compile(fn, passes=steps)  # nothing is broken that can be told without running it
    with pytest.raises(PassError, match="the pass 'planted' changed result 0"):
        ml.compile(fn, passes=steps, verify="each-pass")


def test_the_users_own_passes_replace_the_pipeline() -> None:
    run = ml.compile(ml.function(f32[3])(lambda x: ml.exp(x) + 1), passes=())
    assert "group" not in run.stages["fused"]
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(run(x), x + 2)


def test_an_observer_sees_every_pass() -> None:
    names: list[str] = []
    ml.compile(
        ml.specialise(layer, {"batch": 1}), observe=lambda record, fn: names.append(record.name)
    )
    assert names == [step.name for step in cpu_pipeline(cpu_target("cpu")[0])]


def test_an_unknown_target() -> None:
    with pytest.raises(UnsupportedError, match="unknown target 'cpu:z80'; known are cpu, "):
        ml.compile(ml.specialise(layer, {"batch": 1}), "cpu:z80")


@pytest.mark.parametrize("threads", [0, -1, 1_000_000, 1.5])
def test_a_number_of_threads_that_nobody_means_is_refused(threads: int) -> None:
    """A million of them would be started one by one."""
    with pytest.raises(InputError, match=f"threads is a number from 1 to 1024, not {threads}"):
        ml.compile(ml.function(f32[3])(ml.exp), threads=threads)
