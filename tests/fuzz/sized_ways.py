"""The ways in which a program of named sizes must agree with the same program of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeAlias

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, MlirLiteError
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.ir import Builder, inline, results_of, run_reference
from mlir_lite.ir.verify import verify
from mlir_lite.ops.table import TABLE
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.sizes import product
from mlir_lite.types import Array

from . import sized_steps, sized_sums
from .derived import CANCELLED
from .judge import Truth
from .sized import LARGEST, Sized, Writer, smaller

Sizes: TypeAlias = Mapping[str, int]
# Ones, primes, what fills a vector, one more than that.
VALUES: tuple[Sizes, ...] = (
    *({"n": 5, "m": 7}, {"n": 1, "m": 1}, {"n": 16, "m": 33}, {"n": 1, "m": 8}, LARGEST),
)
Way: TypeAlias = Callable[[Sized, Random], str]  # what is wrong, or nothing


def random_sized(seed: int, most: int = 12) -> Sized:
    """The program of a seed: some steps, each with its weight."""
    writer = Writer(Random(seed))
    steps, weights = zip(*sized_steps.STEPS, *sized_sums.STEPS, strict=True)
    for _ in range(writer.random.randint(2, most)):
        writer.random.choices(steps, weights)[0](writer)
    if not any(value.node for value in writer.values):
        writer.call(lambda x: x + x, 0)
    return Sized(f"seed{seed}", tuple(writer.entries))


def called(program: Sized, random: Random) -> str:
    """One executable of names, called with arrays of several sizes, and of the first again."""
    executable = ml.compile(program.written(), threads=random.choice((1, 2)))
    several = random.sample(VALUES, 3)
    return _agree(program, [*several, several[0]], lambda sizes, arrays: executable(*arrays))


def in_two_steps(program: Sized, random: Random) -> str:
    """One name after the other; the text of names is read back before."""
    fn = program.written()
    again = ml.parse(str(fn), ml.resources_of(fn))
    if _plain(again) != _plain(fn):
        return "the text that is read back prints otherwise"

    def run(sizes: Sizes, arrays: Sequence[Array]) -> object:
        first = ml.specialise(again, {name: sizes[name] for name in ("n",) if name in again.sizes})
        whole = ml.specialise(first, {name: sizes[name] for name in first.sizes})
        verify(whole)
        return run_reference(whole, arrays)

    return _agree(program, VALUES, run)


def _plain(fn: Function) -> str:
    """The text without comments, that name the user's lines."""
    return "\n".join(line.partition("//")[0].rstrip() for line in str(fn).splitlines())


def each_pass(program: Sized, random: Random) -> str:
    """The passes that need no numbers, on the function of names, which gets them after each."""
    target, _ = cpu_target("cpu")
    whole = program.written()
    for step in cpu_pipeline(target):
        if step.name == "fuse":
            continue
        whole = step.run(whole)
        verify(whole)

        def run(sizes: Sizes, arrays: Sequence[Array], fn: Function = whole) -> object:
            fixed = ml.specialise(fn, {name: sizes[name] for name in fn.sizes})
            return run_reference(fixed, arrays)

        wrong = _agree(program, random.sample(VALUES, 2), run)
        if wrong:
            return f"{step.name}: {wrong}"
    return ""


def gradient(program: Sized, random: Random) -> str:
    """The gradient of the function of names, against that of the function of numbers."""
    loss = _loss(program.written())
    if loss is None:
        return ""
    try:
        derived = ml.value_and_grad(loss)
    except MlirLiteError as error:
        if "give" in str(error) and "value" in str(error):
            return ""  # of a resize, of padding with edges: how it is computed depends on numbers
        raise
    executable = ml.compile(derived)
    for sizes in random.sample(VALUES, 2):
        static = _loss(program.written(sizes))
        if static is None or any(0 in value.shape for value in program.written(sizes).results):
            continue
        arrays = program.arrays(sizes, 1)
        truth = Truth(ml.value_and_grad(static), arrays)
        largest = max(float(np.max(np.abs(each), initial=0.0)) for each in truth.exact[1:])
        found = results_of(executable(*arrays))
        wrong = truth.wrong(found, CANCELLED, first=1, floor=1e-7 * largest)
        if wrong:
            return f"{sizes}: {wrong}"
    return ""


def _loss(fn: Function) -> Function | None:
    """A number that depends on every float result unevenly."""
    builder = Builder(TABLE)
    with builder.active():
        total = ml.zeros((), ml.f64)
        for result in inline(fn, {param: param for param in fn.params}):
            if result.dtype.is_float and result.node:
                places = ml.arange(product(result.shape)).astype(ml.f64)
                weights = ml.cos(places).reshape(*result.shape)
                total = total + ml.mean(ml.cast(result, ml.f64) * weights)
        if not total.node or total.node.op.name == "broadcast":
            return None
    return builder.finish(f"{fn.name}_loss", fn.params, [total])


def _agree(
    program: Sized, several: Sequence[Sizes], run: Callable[[Sizes, Sequence[Array]], object]
) -> str:
    """What is wrong with the results for these sizes. What is refused of numbers is refused."""
    for seed, sizes in enumerate(several):
        arrays = program.arrays(sizes, seed)
        try:
            static = program.written(sizes)
        except MlirLiteError:
            static = None
        try:
            with np.errstate(all="ignore"):
                found = run(sizes, [array.copy() for array in arrays])
        except MlirLiteError as error:
            if static is None:
                continue
            return f"{sizes}: {type(error).__name__}: {error}"
        if static is None:
            return f"{sizes}: what is an error of numbers runs"
        results = found if isinstance(found, tuple) else (found,)
        with np.errstate(all="ignore"):
            wrong = Truth(static, arrays).wrong(results)
        if wrong:
            return f"{sizes}: {wrong}"
    return ""


WAYS: Mapping[str, Way] = {
    "called": called,
    "in two steps": in_two_steps,
    "each pass": each_pass,
    "gradient": gradient,
}


def wrong(program: Sized, way: str) -> str:
    """What is wrong with a program run this way, or nothing."""
    try:
        return WAYS[way](program, Random(program.name))
    except Exception as error:  # whatever it is, it is no answer
        return f"{type(error).__name__}: {error}"


def check(program: Sized, way: str) -> None:
    """Fail with the smallest program found that is still wrong, if this one is."""
    found = wrong(program, way)
    if not found:
        return
    small = smaller(program, lambda other: bool(wrong(other, way)))
    raise AssertionError(
        f"@{program.name}, {way}: {found}\nmade small: {wrong(small, way)}\n{small.written()}"
    )
