"""The pass manager: runs a pipeline, verifies after each pass, times, counts and dumps.

With `verify="each-pass"` it also runs the function before and after every pass on sample inputs
and names the pass that changed the result.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from ..environment import Verify
from ..errors import (
    InputError,
    MlirLiteError,
    PassError,
    RunError,
    UnsupportedError,
    VerifyError,
    check,
)
from ..ir import Function, Node, run_reference
from ..ir.verify import verify as verify_function
from ..types import Array, TensorType
from .pipelines import Step

_LOG = logging.getLogger("mlir_lite")

# Passes that round values on purpose, and how much of the largest element a deep model may lose by
# it: later passes, which move where things are rounded, are held to the new results as loosely.
ROUNDING: Mapping[str, float] = MappingProxyType({"precision": 0.25, "narrow-factors": 0.25})

# Passes after which a function computes something else on purpose, of other parameters perhaps.
NEW_MEANING = frozenset({"autodiff"})


@dataclass(frozen=True)
class Record:
    """What one pass did: its time in seconds, and the operations before and after, by name."""

    name: str
    seconds: float
    before: Counter[str]
    after: Counter[str]

    def summary(self) -> str:
        """The operations that came and went: `-3 batch_norm +3 add`; empty where none did."""
        changes = {
            name: self.after[name] - self.before[name]
            for name in sorted(self.before.keys() | self.after.keys())
        }
        return " ".join(f"{change:+d} {name}" for name, change in changes.items() if change)


Observer: TypeAlias = Callable[[Record, Function], None]


def run_passes(
    fn: Function,
    steps: Sequence[Step],
    *,
    verify: Verify = "structure",
    observe: Observer | None = None,
) -> Function:
    """Run the steps in order. `observe` sees each pass's record and the function after it.

    Raises `PassError`, with the name of the pass and a command that shows it again, for a pass that
    fails, breaks the IR, or (with `verify="each-pass"`) changes what the function computes (more
    than it is for: see `ROUNDING`).
    """
    samples = sample_inputs(fn) if verify == "each-pass" else ()
    expected = _expected(fn, samples) if verify == "each-pass" else ()
    least = 0.0
    verified: frozenset[Node] = frozenset()
    after = counts(fn)
    for number, step in enumerate(steps, 1):
        before = after
        start = time.perf_counter()
        try:
            changed = step.run(fn)
            seconds = time.perf_counter() - start
            if verify != "off":
                _verify_marks(fn, changed)
                verify_function(changed, verified)
                verified = frozenset(changed.nodes)
            if verify == "each-pass" and step.name in NEW_MEANING:
                samples = sample_inputs(changed)
                expected = run_reference(changed, samples)
            elif verify == "each-pass":
                got = run_reference(changed, samples)
                least = max(least, ROUNDING.get(step.name, 0.0))
                _compare(expected, got, least)
                expected = got if step.name in ROUNDING else expected
        except (InputError, UnsupportedError):  # the user's mistake: an option, an operation
            raise
        except Exception as error:
            raise _pass_error(error, fn, steps[:number]) from error
        after = before if changed is fn else counts(changed)
        fn = changed
        record = Record(step.name, seconds, before, after)
        _LOG.debug("%s: %.2f ms %s", step.name, 1e3 * seconds, record.summary())
        if observe is not None:
            observe(record, fn)
    return fn


def _expected(fn: Function, samples: Sequence[Array]) -> tuple[Array, ...]:
    """The results for random inputs; `InputError` where these are a fault of the program."""
    try:
        return run_reference(fn, samples)
    except RunError as error:
        message = f"there is nothing to compare, for random inputs are a fault of @{fn.name}"
        raise InputError(f"{message}: {error}") from error


def _verify_marks(before: Function, after: Function) -> None:
    """What is said of parameters outlives every pass."""
    lost = before.donated.keys() - after.donated.keys() or before.static - after.static
    if lost:
        raise VerifyError(f"@{after.name} no longer says what '{min(lost)}' is: use Builder.remade")


def _pass_error(error: Exception, fn: Function, steps: Sequence[Step]) -> PassError:
    """What went wrong in, or after, the last of these steps, and how to see it again."""
    match error:
        case _Changed():
            what = f"changed {error}"
        case VerifyError():
            what = f"left broken IR: {error}"
        case MlirLiteError():
            what = f"failed: {error}"
        case _:
            what = f"failed: {type(error).__name__}: {error}"
    command = f"mlir-lite opt dumps/{fn.name}/00-input.mlir --passes {','.join(map(str, steps))}"
    return PassError(
        f"the pass '{steps[-1].name}' {what}\n"
        f"to reproduce it, compile with MLIR_LITE_DUMP=dumps and run\n"
        f"  {command} --verify each-pass"
    )


def counts(fn: Function) -> Counter[str]:
    """How often each operation occurs, those inside of groups too."""
    total: Counter[str] = Counter()
    for node in fn.nodes:
        total[node.op.name] += 1
        for attribute in node.op.attributes.values():
            if isinstance(attribute, Function):
                total += counts(attribute)
    return total


def sample_inputs(fn: Function, seed: int = 0) -> tuple[Array, ...]:
    """Arrays of the parameters' types: normal floats, zeros and ones else, from a fixed seed."""
    random = np.random.default_rng(seed)
    return tuple(sample(param.type, random) for param in fn.params)


def sample(type_: TensorType, random: np.random.Generator) -> Array:
    """An array of a type. Integers are 0 or 1, so that they may be indices of what has elements."""
    shape = type_.static_shape
    if type_.dtype.is_float:
        return random.standard_normal(shape).astype(type_.dtype.numpy)
    return random.integers(0, 2, shape).astype(type_.dtype.numpy)


class _Changed(MlirLiteError):
    """A result before and after a pass differs."""


def _compare(expected: Sequence[Array], got: Sequence[Array], least: float) -> None:
    """Raise for results that differ by more than the order of operations explains, and by more
    than is allowed at `least` to floats."""
    for position, (want, have) in enumerate(zip(expected, got, strict=True)):
        error, allowed = difference(want, have)
        allowed = max(allowed, least) if want.dtype.kind not in "biu" else allowed
        check(
            error <= allowed,
            f"result {position} by {error:.3g} of its largest element, "
            f"where {allowed:.3g} is allowed",
            _Changed,
        )


def difference(want: Array, have: Array) -> tuple[float, float]:
    """The largest difference relative to the largest element, and what the type allows."""
    if want.shape != have.shape or want.dtype != have.dtype:
        return float("inf"), 0.0
    if want.dtype.kind in "biu":
        return float(np.any(want != have)), 0.0
    wide, other = want.astype(np.float64), have.astype(np.float64)
    apart = ~((wide == other) | (np.isnan(wide) & np.isnan(other)))
    finite = np.isfinite(wide)
    if np.any(apart & ~(finite & np.isfinite(other))):
        return float("inf"), 0.0
    scale = float(np.max(np.abs(wide[finite]), initial=0.0)) or 1.0
    error = float(np.max(np.abs(wide[apart] - other[apart]), initial=0.0))
    # 2000 units in the last place: sums of thousands of terms in another order stay far below.
    unit = float(np.finfo(np.float32).eps) if want.dtype.itemsize >= 4 else 2.0**-8
    limit = 2000 * (2.0**-52 if want.dtype == np.float64 else unit)
    return error / scale, min(limit, 0.05)

